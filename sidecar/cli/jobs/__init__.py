"""``jobs``: many documents handed to services that share a queue, and what became of them."""
