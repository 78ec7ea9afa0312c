"""Clients of the servers that run the vision model.

What a server has of its own is pure (`*_request`, `*_answer`); `connection` does the I/O for any.
Nothing here knows pages, engines or the GPU's guard.
"""
