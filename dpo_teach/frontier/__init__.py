"""The measured sweep: what each method buys, in true reward, for how much KL, at an equal budget.

`dpo-teach frontier` runs it (`sweep.sweep`); `results.read_results` reads what it wrote, or what the package ships.
"""
