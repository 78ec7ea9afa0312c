"""Benchmarks of the text's accuracy."""
