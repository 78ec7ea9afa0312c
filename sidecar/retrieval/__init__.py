"""The use case of embedding and reranking: queue, batches, where a batch runs.

Knows models by their protocol and no documents; torch and its libraries live in `bge` alone.
"""
