"""Preference pairs (prompt, chosen response, rejected response), read from files, lists and the Hugging Face Hub.

`load_pairs` returns a list of pairs, or raises an error that names the file, row and field. `survey_pairs` reads the
same sources and reports every invalid row. `dpo_teach.pairs.layouts` describes the supported kinds of rows.
"""

from dpo_teach.pairs.errors import PairError, PairFileNotFoundError, PairProblem
from dpo_teach.pairs.loading import PairSurvey, load_pairs, survey_pairs
from dpo_teach.pairs.pair import Conversation, Message, PreferencePair, hold_out, without_prompts_of

__all__ = [
    "Conversation",
    "Message",
    "PairError",
    "PairFileNotFoundError",
    "PairProblem",
    "PairSurvey",
    "PreferencePair",
    "hold_out",
    "load_pairs",
    "survey_pairs",
    "without_prompts_of",
]
