"""The pixels of a page: how many it needs, and what is done to them before an engine sees them.

Nothing here opens a file.
"""
