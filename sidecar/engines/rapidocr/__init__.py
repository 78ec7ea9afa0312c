"""The second embedded engine: RapidOCR, whose networks run in ONNX Runtime, in the worker processes.

Only this room imports RapidOCR and OpenCV, and only inside functions: the process that serves HTTP must not load them.
"""
