"""The wire format: what requests and answers look like, and the description that is generated from them.

Pure: no HTTP library, no I/O, no settings.
"""
