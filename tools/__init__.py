"""Tools of the Makefile, the README, the benchmarks and the tests; never part of an image."""
