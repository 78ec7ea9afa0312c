"""A soak: the real service under everything at once, for minutes, and the figures that must hold."""
