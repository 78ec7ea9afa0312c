"""A document's answer over HTTP: one body, lines, or a file in another format, and what stands beside its text.

No request is read here, and no format is known: ``wire`` and ``outputs`` have them.
"""
