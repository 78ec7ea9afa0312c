"""From database rows to OcrProfile resources: read, plan, apply.

Never writes the database, and does not publish.
"""
