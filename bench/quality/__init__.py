"""Benchmarks of how right the text is."""
