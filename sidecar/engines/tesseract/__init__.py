"""The embedded engine: Tesseract through tesserocr, in the worker processes.

Only this room imports tesserocr, and only inside functions: the process that serves HTTP must not load it.
"""
