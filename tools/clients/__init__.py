"""The makers' own clients against the real service with small models: what `make test-clients` runs."""
