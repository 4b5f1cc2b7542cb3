"""The log-ratios of held-out pairs over a run: a plain record, which is saved as JSON and shown by `LogRatioPlane`."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["PairHistory", "bundled_histories", "read_history"]

_FOLDER = files("dpo_teach") / "assets" / "runs"
_PREFIX, _SUFFIX = "history-", ".json"
_DIGITS = 2  # of a saved log-ratio: 0.01 nats
_KL_DIGITS = 3


@dataclass(frozen=True, eq=False)
class PairHistory:
    """The log-ratios of the same preference pairs after some steps of a run.

        log-ratio = log π(y|x) - log π_ref(y|x)

    Args:
        steps: the recorded steps, in increasing order; 0 is the policy before training.
        log_ratios: the log-ratio of the chosen and of the rejected response of every pair at every recorded step, nats.
        kl: KL(π_ref ‖ π) at each recorded step, nats; None if it was not estimated.
        beta: the run's β; None if unknown.

    Raises:
        ValueError: the shapes do not match, or a value is invalid; the message states what was expected and found.

    >>> log_ratios = torch.tensor([[[0.0, 0.0]], [[-1.0, -4.0]]])  # two steps, one pair
    >>> history = PairHistory([0, 16], log_ratios, kl=[0.0, 2.4], beta=0.1)
    >>> history.means.tolist()
    [[0.0, 0.0], [-1.0, -4.0]]
    """

    steps: Sequence[int]
    log_ratios: Float[Tensor, "steps pairs 2"]
    kl: Sequence[float | int] | None = None
    beta: float | int | None = None

    def __post_init__(self) -> None:
        kl = None if self.kl is None else _numbers("kl", self.kl)
        changes = {"steps": _steps(self.steps), "log_ratios": _table(self.log_ratios), "kl": kl}
        for name, value in changes.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        shape, count = tuple(self.log_ratios.shape), len(self.steps)
        if len(shape) != 3 or shape[0] != count or shape[1] == 0 or shape[2] != 2:
            raise ValueError(f"log_ratios: expected shape (steps, pairs, 2) with {count} steps, found {shape}")
        if not torch.isfinite(self.log_ratios).all():
            step, pair, _ = (~torch.isfinite(self.log_ratios)).nonzero()[0].tolist()
            raise ValueError(f"log_ratios: expected finite numbers, found {self.log_ratios[step, pair].tolist()} for "
                             f"pair {pair + 1} at step {self.steps[step]}")  # fmt: skip
        if self.kl is not None and len(self.kl) != count:
            raise ValueError(f"kl: expected {count} numbers, one per step, found {len(self.kl)}")
        for step, value in zip(self.steps, self.kl or (), strict=False):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"kl: expected finite numbers of at least 0, found {value} at step {step}")
        if self.beta is not None and not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(f"beta: expected a finite number above 0, found {self.beta}")

    @property
    def means(self) -> Float[Tensor, "steps 2"]:
        """The mean log-ratio of the chosen and of the rejected responses at each step, nats."""
        return self.log_ratios.mean(dim=1)

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON; log-ratios are rounded to 0.01 nats, the KL to 0.001 nats."""
        return {
            "steps": list(self.steps),
            "log_ratios": [[[_round(x, _DIGITS) for x in pair] for pair in row] for row in self.log_ratios.tolist()],
            "kl": None if self.kl is None else [_round(value, _KL_DIGITS) for value in self.kl],
            "beta": self.beta,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "PairHistory":
        """Undo `as_dict`.

        Raises:
            ValueError: a field is missing, unknown or invalid.
        """
        expected = {"steps", "log_ratios", "kl", "beta"}
        if not isinstance(fields, dict) or set(fields) != expected:
            found = ", ".join(sorted(fields)) if isinstance(fields, dict) else type(fields).__name__
            raise ValueError(f"history: expected the fields {', '.join(sorted(expected))}, found {found or 'none'}")
        return cls(**{**fields, "log_ratios": _table(fields["log_ratios"])})

    def to_json(self) -> str:
        """The history as compact JSON in one line: 64 pairs at 17 steps take about 25 kB.

        >>> PairHistory([0], torch.tensor([[[0.0, -0.126]]])).to_json()
        '{"steps":[0],"log_ratios":[[[0.0,-0.13]]],"kl":null,"beta":null}'
        """
        return json.dumps(self.as_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "PairHistory":
        """Undo `to_json`.

        Raises:
            ValueError: the text is not JSON, or a field is missing, unknown or invalid.
        """
        return cls.from_dict(json.loads(text))


def bundled_histories() -> list[str]:
    """The names of the histories that come with the package, sorted."""
    names = [file.name for file in _FOLDER.iterdir()]
    return sorted(name[len(_PREFIX) : -len(_SUFFIX)] for name in names
                  if name.startswith(_PREFIX) and name.endswith(_SUFFIX))  # fmt: skip


def read_history(source: str | Path) -> PairHistory:
    """Read a recorded history.

    Args:
        source: the name of a bundled history (`assets/runs/history-NAME.json`), or the path of a JSON file.

    Raises:
        ValueError: no history has this name, or the file is not a valid history; the message names it.
        FileNotFoundError: there is no such file.
    """
    names = bundled_histories()
    if isinstance(source, str) and source not in names:
        known = f"one of {', '.join(names)}" if names else "a path, because no history is bundled"
        raise ValueError(f"history must be {known}, found {source!r}")
    file = source if isinstance(source, Path) else _FOLDER / f"{_PREFIX}{source}{_SUFFIX}"
    try:
        return PairHistory.from_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None


def _steps(steps: Iterable[Any]) -> tuple[int, ...]:
    found = tuple(steps)
    for step in found:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ValueError(f"steps: expected integers of at least 0, found {step!r}")
    if not found or any(one >= other for one, other in pairwise(found)):
        raise ValueError(f"steps: expected at least one step, in increasing order, found {list(found)}")
    return found


def _table(values: Any) -> Tensor:
    try:
        table = torch.as_tensor(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"log_ratios: expected a table of numbers with shape (steps, pairs, 2), {error}") from None
    return table.detach().cpu() if table.is_floating_point() else table.float()


def _numbers(name: str, values: Sequence[Any]) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: expected numbers, found {value!r}")
    return tuple(float(value) for value in values)


def _round(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # -0.0 becomes 0.0
