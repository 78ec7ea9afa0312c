"""Calls to those who want to be told that a job has ended.

What was tried is kept with the job, so that any pod goes on with it; nobody else is called.
"""
