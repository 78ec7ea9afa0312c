"""The Kubernetes API server and the sidecars, as I/O: one client each, and the watches.

Decides nothing; the only room of kopf and the Kubernetes client.
"""
