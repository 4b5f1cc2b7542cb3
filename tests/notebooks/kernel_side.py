"""Code for the kernels of test_run_again.py: shorter runs, and a summary of what a cell left behind.

The test puts this file in front of a notebook's cells. It is not imported.
"""

import dataclasses
import json
import tempfile

import torch

from dpo_teach.rlhf import PPOConfig, RewardModelConfig, reward_model
from dpo_teach.training import DPOConfig, SFTConfig
from dpo_teach.widgets import Annotator, annotation_experiment

LONGEST, DIGITS = 64, 4
TIMES = "seconds"  # in the names of values that differ from run to run


def limit(kind, **most):
    """Limit some numbers of every configuration of this kind."""
    made = kind.__init__

    def init(self, *values, **named):
        made(self, *values, **named)
        for name, number in most.items():
            object.__setattr__(self, name, min(getattr(self, name) or number, number))

    kind.__init__ = init


limit(DPOConfig, max_steps=10, batch_size=32)
limit(SFTConfig, max_steps=4, batch_size=16)
object.__setattr__(annotation_experiment.SETTINGS, "max_steps", 4)
limit(PPOConfig, iterations=1, rollouts=16, epochs=1, max_new_tokens=24)
limit(RewardModelConfig, epochs=1)
Annotator._measure = lambda self: {}  # takes longer than the training
plan_of, pair_rewards = reward_model._plan, reward_model._all_rewards
reward_model._plan = lambda *values: plan_of(*values)[:3]
reward_model._all_rewards = lambda model, pairs, pad: pair_rewards(model, pairs[:32], pad)


def summary(value, depth=0):  # noqa: PLR0911
    """What a value is, as numbers and words that repeat on every run; an empty text for what does not repeat."""
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, str):
        return "" if value.startswith(tempfile.gettempdir()) else value[:200]
    if isinstance(value, torch.Tensor):
        flat = value.detach().double().flatten()
        return [list(value.shape), *(summary(number.item()) for number in (flat.mean(), flat.abs().mean()))]
    if isinstance(value, torch.nn.Module):
        return summary(torch.cat([weights.detach().flatten() for weights in value.parameters()]))
    if depth > 4:
        return ""
    if isinstance(value, dict):
        return {str(key): summary(one, depth + 1) for key, one in value.items() if TIMES not in str(key)}
    if isinstance(value, list | tuple):
        return [summary(one, depth + 1) for one in value[:LONGEST]] + [len(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return summary(fields, depth + 1)
    kept = {name: getattr(value, name, None) for name in ("metrics", "policy", "result", "model")}
    return {name: summary(one, depth + 1) for name, one in kept.items() if one is not None}


def is_shown(name):
    """Whether a variable is a result: neither a time nor a function, class or module."""
    value = globals().get(name)
    return TIMES not in name and (isinstance(value, torch.nn.Module) or not callable(value))


def report(label, names):
    """Print the summaries of some variables, for the test to read."""
    print(
        json.dumps([label, {name: summary(globals()[name]) for name in names if name in globals() and is_shown(name)}])
    )
