"""Preference pairs: a prompt, the response that was chosen, the one that was rejected, and how to read them.

`load_pairs` takes a file, a folder, a Hub name or a list; `survey_pairs` is the same reader for somebody who wants to
see everything that is wrong instead of the first thing, and `map_pairs` for whoever has more pairs than memory. What a
row may look like is told in `dpo_teach.pairs.formats`.
"""

from dpo_teach.pairs.loading import hold_out, load_pairs, map_pairs, survey_pairs, without_prompts_of
from dpo_teach.pairs.mapped import MappedPairs
from dpo_teach.pairs.pair import PairError, PairFileNotFoundError, PairProblem, PairSurvey, PreferencePair

__all__ = [
    "MappedPairs",
    "PairError",
    "PairFileNotFoundError",
    "PairProblem",
    "PairSurvey",
    "PreferencePair",
    "hold_out",
    "load_pairs",
    "map_pairs",
    "survey_pairs",
    "without_prompts_of",
]
