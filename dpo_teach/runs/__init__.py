"""Durable training runs: an output folder, checkpoints, resumption, signals and random states.

`run.py` holds what a trainer uses; the other modules are what it is made of.
"""
