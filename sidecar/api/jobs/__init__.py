"""Jobs over HTTP: handed in, followed, fetched, given up.

How they are kept and read is no matter of this folder.
"""
