"""Durable training runs: an output folder, checkpoints, resumption, signals and random states.

`run.py` contains the interface for trainers. The other modules implement its parts.
"""
