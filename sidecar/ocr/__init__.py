"""The use case of reading a document: pages, tries, verdicts, warnings, the answer's text.

Knows engines by their protocol alone; no engine's name, no library and no HTTP belongs here.
"""
