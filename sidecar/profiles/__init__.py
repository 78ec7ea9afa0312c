"""Profiles: the payload that the controller publishes, the folder they are read from, precedence, the prompt.

`payload` is shared with the controller and imports nothing of the sidecar but `validation`, which is shared, too.
"""
