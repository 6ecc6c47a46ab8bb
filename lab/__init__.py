"""Real hosts on this machine for the demo, the tests and benchmarks."""
