"""Run the sweep: cell by cell, each written as soon as it is measured; what is there already is not run again."""

from pathlib import Path

from tqdm.auto import tqdm

from dpo_teach.evaluation import TooFewSamplesError
from dpo_teach.frontier.methods import Bench
from dpo_teach.frontier.results import Results, read_results
from dpo_teach.frontier.settings import SweepConfig

__all__ = ["sweep"]


def sweep(output: Path, config: SweepConfig, *, progress: bool = True) -> Results:
    """Measure every cell that the file does not have yet.

    Args:
        output: the results file; policies that later cells draw from go into a folder of its name beside it.
        config: what is swept.
        progress: show a progress bar.

    Returns:
        All results, those from before among them.

    Raises:
        ValueError: the file holds a sweep of other settings, or no sweep at all.
        OSError: the file cannot be written, which is found out before the first run.
    """
    results = read_results(output) if output.exists() else Results(config.as_dict())
    _check_settings(output, results, config)
    results.save(output)
    bench = Bench(config, output.with_suffix(".policies"), results.made["reward_models"])
    done = {result.cell for result in results.results}
    for cell in tqdm(config.cells(), disable=not progress, unit="run"):
        if cell in done:
            continue
        try:
            results.results.append(bench.run(cell))
        except TooFewSamplesError as error:
            print(f"{cell.method} at {cell.setting:g}: left out; {error}")
            continue
        results.save(output)
    return results


def _check_settings(output: Path, results: Results, config: SweepConfig) -> None:
    """Seeds, betas and n may be added to; everything else must be as it was, or the points could not be compared."""
    free = {"seeds", "betas", "best_of", "optimum_betas"}
    changed = [f"{name} was {results.config.get(name)!r}, is {value!r}" for name, value in config.as_dict().items()
               if name not in free and results.config.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"{output}: this sweep was started with other settings: {'; '.join(changed)}")
    results.config = {**results.config, **{name: value for name, value in config.as_dict().items() if name in free}}
