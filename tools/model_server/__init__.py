"""llama.cpp's server, built from its package on PyPI, and a tiny vision model: for `make test-real-model` alone."""
