"""The GPU's memory: readings, and how long a model may stay.

Reads and decides; calls no model and makes no copies.
"""
