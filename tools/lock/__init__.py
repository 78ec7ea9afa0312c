"""Writes the lock of hashes, picks from it what an image gets, and prints the bill of materials."""
