"""Probes whether the NetworkPolicy keeps others from the sidecars, and reports it.

Changes nothing in the cluster but events and conditions.
"""
