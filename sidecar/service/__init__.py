"""Puts the service together and runs it: route lists, middleware order, what lives as long as the process.

No request is handled here, and nothing below knows that this room exists.
"""
