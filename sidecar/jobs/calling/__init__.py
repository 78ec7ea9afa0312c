"""Calls to those who want to be told that a job has ended. Nothing here reads a page, or changes a job."""
