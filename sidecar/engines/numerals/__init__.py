"""The reader of numerals: Tesseract mistakes most Thai digits at high confidence, so they are read once more here.

`tokens` finds in Tesseract's text what may be numerals, `strips` cuts them out of the page, `network` reads the strips,
`judgement` decides who is believed, `reading` is all of that in a row. Only `strips`, `network` and `reading` know
arrays. Runs in worker processes.
"""
