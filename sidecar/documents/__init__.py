"""Documents as files: found, spooled, opened, bounded, their pages drawn, their text layers read.

Knows no HTTP and no engine; what opens a caller's file runs in worker processes.
"""
