"""The Markdown and HTML that vision models write for a page, as blocks. No I/O, no engine. Pure."""
