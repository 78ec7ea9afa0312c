"""Documents that are read later, by whichever pod is free: a job outlives every pod, and its pages come in slices.

What waits lives in NATS JetStream, behind `jetstream`; nothing here knows HTTP's routes or the wire's format.
"""
