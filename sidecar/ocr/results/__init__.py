"""What becomes of pages once they are read: their structure, what outputs are written from, their receipts.

No engine is asked here, and nothing is written in a format.
"""
