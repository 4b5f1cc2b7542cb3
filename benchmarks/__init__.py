"""Benchmarks of this package's trainer against TRL's, measured in the same run."""
