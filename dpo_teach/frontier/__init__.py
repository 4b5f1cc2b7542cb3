"""The measured sweep: what each method buys, in true reward, for how much KL, at an equal budget.

`dpo-teach frontier` runs it; `read_results` reads what it wrote, or the results that come with the package.
"""

from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import METHODS, SweepConfig
from dpo_teach.frontier.sweep import sweep

__all__ = ["METHODS", "Result", "Results", "SweepConfig", "read_results", "sweep"]
