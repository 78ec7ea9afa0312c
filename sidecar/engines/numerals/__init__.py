"""The reader of numerals: Tesseract misreads most Thai digits with high confidence, so they are read again here.

`tokens` finds in Tesseract's text what may be numerals, `strips` cuts them out of the page, `network` reads the strips,
`judgement` decides which reading is used, `reading` runs all steps. Only `strips`, `network` and `reading` use arrays.
Runs in worker processes.
"""
