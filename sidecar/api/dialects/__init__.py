"""Other services' routes for documents, one module a dialect, and the list of them.

A dialect translates at the rim: its routes end in the same use case as `/ocr-upload`, by `sidecar.api.reading`, with
the same keys, limits, quota, queue and deadlines. It decides nothing about pages.
"""
