"""Builds the images without an engine, and runs commands in them."""
