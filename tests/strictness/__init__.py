"""The checks that hold every notebook: its form, its claims, its numbers, its widgets, and what it costs.

Each check is a function that takes the path of a notebook and yields a line for each violation. `CHECKS` in
`strictness.checks` lists them; tests run them on the committed notebooks, `tests/prove_strict.py` on planted faults.
"""
