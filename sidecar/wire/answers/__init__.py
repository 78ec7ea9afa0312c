"""How a document is answered: in which format, and what was found on its pages.

No request is parsed here but for the format that it wants; ``sidecar.wire.ocr`` describes the rest. Pure.
"""
