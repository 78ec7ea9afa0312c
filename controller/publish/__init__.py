"""From profiles to ConfigMap and status: one pass over a namespace, and the decisions it makes.

Uses the cluster through protocols defined here; knows neither the database nor how isolation is proved.
"""
