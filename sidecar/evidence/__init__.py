"""What a page holds, where, and how sure: words with their places, and the blocks made of them.

No I/O, no engine, no format of an answer. Pure.
"""
