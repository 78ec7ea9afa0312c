"""What runs work, whatever the work is: admission, fair slots, workers, threads, the circuit breaker, the drain.

Knows no documents, no models and no HTTP.
"""
