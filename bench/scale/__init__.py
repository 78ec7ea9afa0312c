"""How long a fleet takes for a heap of documents: a simulator of the queue of jobs, and real runs to hold it against."""
