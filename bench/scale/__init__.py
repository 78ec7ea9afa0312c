"""How long a fleet takes for a heap of documents: a simulator of the queue, and real runs beside it."""
