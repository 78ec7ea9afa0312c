"""What all benchmarks use: the service under test, load, figures, the machine."""
