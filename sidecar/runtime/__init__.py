"""What runs work, whatever it is: admission, fair slots, threads, heaps, the circuit breaker, the drain, workers.

Knows no documents, no models and no HTTP.
"""
