"""The network's classes: digits of both scripts, the marks inside numbers, and everything else. Pure."""

THAI_DIGITS = "๐๑๒๓๔๕๖๗๘๙"
ARABIC_DIGITS = "0123456789"
MARKS = ".,-/"
READABLE = THAI_DIGITS + ARABIC_DIGITS + MARKS
"""Class 1 and up; class 0 is the gap between glyphs."""
OTHER = "\N{REPLACEMENT CHARACTER}"
"""Some other glyph: a letter, a bracket, a stamp."""
CLASSES = READABLE + OTHER
GAP = 0
"""The class of a column that is not the middle of a glyph."""
