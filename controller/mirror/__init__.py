"""From database rows to OcrProfile resources: read, plan, apply.

Never writes the database; publishing is not its business.
"""
