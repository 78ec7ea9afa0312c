"""Proves that the NetworkPolicy keeps strangers from the sidecars, and tells.

Changes nothing in the cluster but events and conditions.
"""
