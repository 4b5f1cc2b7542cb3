"""What this package's trainer costs, measured against the standard library's in one run."""
