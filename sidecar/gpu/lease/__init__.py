"""The lease of the GPU: what is decided, what is owed, which pages wait, and who carries it out.

Nothing here knows a page's content, and only `lease` acts on the model server.
"""
