"""The GPU's memory: readings, what the OCR model needs, whether it may be called, and how long it may stay.

Reads, remembers and decides; reads no page and makes no copies.
"""
