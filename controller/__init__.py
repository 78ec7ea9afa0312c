"""The operator that turns OcrProfile resources into what the sidecars read.

Reading order; P is pure, values in and values out:

- ``names`` P, ``settings`` P, ``errors`` P: what things are called, what may be set, what can go wrong
- ``spec`` P: one resource → the payload, or the field that is wrong
- ``desired`` P: all payloads → the ConfigMap
- ``pods`` P, ``status`` P: what was observed → conditions and events
- ``cluster``, ``sidecars``: the talk with the API server and with the sidecars
- ``reconcile``: one pass over one namespace, the same whatever the event was
- ``pace`` P, ``news`` P, ``work``: when a pass is made
- ``handlers``: kopf's watches, where the events come from
- ``isolation``, ``watchman``: the proof that the NetworkPolicy is enforced
- ``tables`` P, ``mirror_rows`` P, ``mirror_plan`` P, ``mirror_database``, ``mirror``: database rows → resources
- ``health`` P, ``telemetry``, ``ops``: what probes and operators see
- ``app``, ``render``, ``__main__``: the parts wired, the laptop's way, the command line
"""
