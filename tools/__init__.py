"""What the Makefile, the README, the benchmarks and the tests run beside the product; never part of an image."""
