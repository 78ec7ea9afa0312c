"""Text layers of PDF pages: what one says, put right where Thai writing proves it, and whether it can be believed.

Draws nothing and opens no files; whether a layer accounts for what is seen is decided by `sidecar.documents.pdf_ink`.
"""
