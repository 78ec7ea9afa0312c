"""Other services' formats for documents, one module a dialect: what their callers send and want back. Pure."""
