"""I/O with the Kubernetes API server and the sidecars: one client each, and the watches.

Decides nothing; only this room uses kopf and the Kubernetes client.
"""
