"""``jobs``: many documents handed to services that share a queue, and what became of them.

It calls services by the public client alone, and holds no rule about how a queue works.
"""
