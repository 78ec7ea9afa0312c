"""When a pass is made: the loop, its backoff, and which changes are worth one.

Knows nothing of what a pass does.
"""
