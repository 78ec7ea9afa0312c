"""What operators see of the controller: probes, metrics, logs.

Observes; nothing is decided here.
"""
