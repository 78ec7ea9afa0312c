"""Assembles the service and runs it: route lists, middleware order, objects that live as long as the process.

No request is handled here, and no lower room imports this one.
"""
