"""``jobs``: many documents handed to services that share a queue, and what became of them.

Nothing here reads a page: a service does, over HTTP.
"""
