"""Record policies during and after runs of DPO, for notebooks 03 and 04: `make snapshots`, half an hour on two cores.

Two questions, each with three seeds: what happens when DPO with a large β continues for ten epochs, and what do β and
the learning rate each change in a run of 96 steps? Runs that are in the file already are not repeated.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from dpo_teach.evaluation import evaluate_pairs, evaluate_reviews, score_samples
from dpo_teach.frontier.snapshots import Snapshot, read_snapshots
from dpo_teach.models import ASSETS, freeze_reference, load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.sampling import sample_tokens
from dpo_teach.training import DPOConfig, DPOTrainer

__all__ = ["RUNS", "Run", "record"]

OUTPUT = ASSETS / "runs" / "snapshots.jsonl"
SAMPLE_SEEDS = range(100, 104)
"""Seeds of the reference's responses by which KL(π_ref ‖ π) is estimated; evaluations draw with the run's own seed."""


class Run(NamedTuple):
    """One run of DPO, and the steps after which its policy is evaluated; the last one ends the run."""

    beta: float
    learning_rate: float
    seed: int
    evaluated_at: tuple[int, ...]


RUNS = [
    run
    for seed in (0, 1, 2)
    for run in (
        Run(1.0, 5e-4, seed, (32, 64, 96, 160, 240, 320, 480, 640)),
        *(Run(beta, rate, seed, (96,)) for beta in (0.05, 0.3, 1.0) for rate in (1e-4, 2e-4, 5e-4, 1e-3)),
    )
]


def record(output: Path = OUTPUT, runs: list[Run] = RUNS) -> None:
    """Train and evaluate what the file lacks, and add a line for each evaluation."""
    found = read_snapshots(output) if output.exists() else []
    done = {(one.beta, one.learning_rate, one.seed, one.steps) for one in found}
    missing = [run for run in runs if (run.beta, run.learning_rate, run.seed, run.evaluated_at[-1]) not in done]
    if not missing:
        return
    reference, tokenizer = load_model("reviews-gpt2")
    reference = freeze_reference(reference)
    train, test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
    prompts = [pair.prompt for pair in test]
    drawn = [one for seed in SAMPLE_SEEDS for one in sample_tokens(reference, tokenizer, prompts, seed=seed)]
    drawn_logps = score_samples(reference, drawn, tokenizer.pad_token_id)

    def evaluate(policy: Any, run: Run, step: int) -> Snapshot:
        log_ratios = drawn_logps - score_samples(policy, drawn, tokenizer.pad_token_id)
        return Snapshot(
            run.beta, run.learning_rate, run.seed, run.evaluated_at[-1], step,
            pairs=evaluate_pairs(policy, reference, tokenizer, test, beta=run.beta),
            reviews=evaluate_reviews(policy, reference, tokenizer, prompts, seed=run.seed),
            reference_kl=log_ratios.mean().item(),
            reference_kl_error=log_ratios.std().item() / len(drawn) ** 0.5,
        )  # fmt: skip

    for run in tqdm(missing, unit="run"):
        steps = run.evaluated_at[-1]
        policy, _ = load_model("reviews-gpt2")
        taken: list[Snapshot] = []

        def on_step(row: dict[str, Any], policy: Any = policy, run: Run = run, taken: list[Snapshot] = taken) -> None:
            if row["step"] in run.evaluated_at:
                taken.append(evaluate(policy, run, row["step"]))

        config = DPOConfig(beta=run.beta, learning_rate=run.learning_rate, seed=run.seed, max_steps=steps,
                           epochs=-(-steps * 32 // len(train)))  # fmt: skip
        DPOTrainer(policy, tokenizer, train, config, on_step=on_step).train()
        with output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(snapshot.as_dict()) + "\n" for snapshot in taken)
