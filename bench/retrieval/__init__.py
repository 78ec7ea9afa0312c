"""Benchmarks of embedding and reranking."""
