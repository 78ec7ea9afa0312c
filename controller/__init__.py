"""The operator that turns OcrProfile resources into what the sidecars read.

This version of the distribution holds the package's place; the operator itself is not part of it.
"""
