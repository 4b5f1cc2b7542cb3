"""The bug clinic: DPO runs with one fault each.

`recipe` trains a policy in parts that can be replaced, and `faults` replaces one of them. `recordings` keeps the
metrics of such runs, and `histories` reads the metrics of any run, of this package or of TRL.
"""
