"""The worker processes: their pool, what each may use of the machine, and the sandbox around it.

They run any function; nothing here knows documents.
"""
