"""What the parts of a document's pages are, told from the places of their words. No I/O, no engine, no model. Pure."""
