"""A document's answer over HTTP: one body, lines, or a file in another format; and what stands beside its text."""
