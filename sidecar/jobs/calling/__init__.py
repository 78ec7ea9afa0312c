"""Calls to those who want to be told that a job has ended."""
