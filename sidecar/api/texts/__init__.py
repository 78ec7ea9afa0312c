"""Embedding and reranking over HTTP: our own routes, and those of the conventions that clients follow.

Decides nothing about texts or vectors; what a body looks like is the wire's.
"""
