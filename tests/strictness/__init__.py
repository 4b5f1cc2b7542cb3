"""The checks that hold every notebook: its form, its claims, its numbers, its widgets, and what it costs.

Each check is a function that takes the path of a notebook's file and yields a line for each breach. `CHECKS` in
`strictness.checks` lists them; tests run them over the committed notebooks, and `tests/faults.py` over planted faults.
"""
