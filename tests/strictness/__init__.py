"""The static checks of every notebook: its form, claims, numbers, widgets and stated costs.

Each check is a function that takes the path of a notebook and yields one line per violation. `CHECKS` in
`strictness.checks` lists them. Tests run them on the committed notebooks, and `tests/prove_strict.py` on planted
faults.
"""
