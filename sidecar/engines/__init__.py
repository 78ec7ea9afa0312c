"""The engines that read a page, each behind `sidecar.ocr.engine`, and what only they need.

An engine knows the protocol and the documents' pages; it knows no other engine, none of our HTTP and no settings.
"""
