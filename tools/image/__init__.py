"""Builds the images without a container engine, and runs commands in them."""
