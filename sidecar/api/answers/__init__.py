"""A document's answer over HTTP: as one body, as lines, or as a file in another format, and what stands beside its text."""
