"""A document in the formats that a caller may ask for, written from its pages' blocks.

No I/O and no HTTP; nothing is read, judged or placed here. Pure.
"""
