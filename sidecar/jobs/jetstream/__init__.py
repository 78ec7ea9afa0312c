"""Where jobs live: streams, records and documents in NATS JetStream, whose own server may be a child of this process.

Only these modules import the library; they decide nothing.
"""
