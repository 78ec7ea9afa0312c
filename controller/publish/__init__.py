"""From profiles to ConfigMap and status: one pass over a namespace, and the decisions it makes.

Talks to the cluster through the protocols it states; the database and the proofs are not its business.
"""
