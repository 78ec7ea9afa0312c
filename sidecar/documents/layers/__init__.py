"""Text layers of PDF pages: their text, corrected where Thai spelling proves an error, and whether it is plausible.

Draws nothing and opens no files; `sidecar.documents.pdf_ink` decides whether a layer covers what is visible.
"""
