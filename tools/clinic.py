"""Record the runs of the bug clinic: every fault and healthy runs, each with several seeds and two values of β.

`make clinic` takes about an hour on two cores; runs that are in the file already are not repeated.
"""

from collections.abc import Iterator
from pathlib import Path

from dpo_teach.clinic.faults import FAULTS
from dpo_teach.clinic.recipe import Recipe, sample_pairs, train
from dpo_teach.clinic.recordings import HEALTHY, Recording, read_recordings, write_recordings
from dpo_teach.models import ASSETS
from dpo_teach.progress_bar import progress_bar

__all__ = ["record_clinic"]

OUTPUT = ASSETS / "clinic" / "runs.jsonl"
BETAS = (0.3, 0.1)
SEEDS = range(6)
RATE, LOWER_RATE = 5e-4, 2e-4
UNSEEN = ("no-end", "two-starts", "prompt-scored")
"""Faults that no curve shows, with half the seeds."""


def planned_runs() -> Iterator[tuple[str, float, float, int]]:
    """Fault, β, learning rate and seed of every run; twice as many healthy seeds as faulty ones, at two rates."""
    for beta in BETAS:
        for seed in SEEDS:
            for rate in (RATE, LOWER_RATE):
                yield from ((HEALTHY, beta, rate, one) for one in (seed, seed + len(SEEDS)))
            yield from ((name, beta, RATE, seed) for name in FAULTS if name not in UNSEEN or seed % 2 == 0)


def record_clinic(output: Path = OUTPUT, part: int = 0, parts: int = 1) -> None:
    """Do every planned run that is not in the file yet.

    Args:
        output: the file.
        part: which part of the runs to do, from 0.
        parts: how many parts there are, each for a process with a file of its own.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    recordings = read_recordings(output) if output.exists() else []
    done = {one.key for one in recordings}
    missing = [key for key in list(planned_runs())[part::parts] if key not in done]
    for fault, beta, rate, seed in progress_bar("clinic", missing, unit="run"):
        recipe = Recipe(**sample_pairs(seed), beta=beta, learning_rate=rate, seed=seed)
        rows = train(recipe if fault == HEALTHY else FAULTS[fault].change(recipe))
        recordings.append(Recording(fault, beta, rate, seed, rows))
        write_recordings(output, recordings)
