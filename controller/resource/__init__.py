"""Values that all rooms share: an OcrProfile's spec, a sidecar's pod, conditions, events, the mirror's annotation.

Pure: no I/O and no decisions about what to publish.
"""
