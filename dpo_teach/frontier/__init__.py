"""The measured sweep: the true reward and the KL that each method reaches with the same budget.

`dpo-teach frontier` runs it (`sweep.sweep`). `results.read_results` reads its results, or those that the package ships.
"""
