"""The commands that train, evaluate and sample. They import torch only when they run, so that `--help` is fast."""

import dataclasses
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from dpo_teach.cli.data import BASE_MODEL, DataOptions
from dpo_teach.frontier.settings import SweepConfig
from dpo_teach.pairs.checks import check_pairs
from dpo_teach.training.config import DPOConfig, SFTConfig

if TYPE_CHECKING:
    from dpo_teach.batches import TruncationStats
    from dpo_teach.models import LoadedModel
    from dpo_teach.pairs import PreferencePair

__all__ = ["evaluate", "frontier", "sample", "sft", "train"]

logger = logging.getLogger(__name__)


def sft(output: Path, data: DataOptions, config: SFTConfig, model: str = BASE_MODEL, resume: bool = False) -> None:
    """Fine-tune a model on the chosen responses, the stage before DPO.

    Args:
        output: new or empty folder for the model, its metrics and its checkpoints.
        data: preference pairs; only their prompts and chosen responses are used.
        config: settings of the training run.
        model: bundled model, local folder, or model name on the Hugging Face Hub.
        resume: continue from the last checkpoint in the output folder.
    """
    from dpo_teach.models import load_model
    from dpo_teach.training import Example, SFTTrainer

    pairs = data.load()
    examples, held_out = ([Example.chosen(pair) for pair in part] for part in (pairs.train, pairs.held_out))
    loaded = load_model(model)
    data.set_chat_template(loaded.tokenizer)
    trainer = SFTTrainer(
        loaded.model,
        loaded.tokenizer,
        examples,
        config,
        eval_examples=held_out,
        output=output,
        progress=sys.stderr.isatty(),
    )
    print(_summary(len(trainer.examples), "examples", trainer.truncation))
    _print_lines(data.describe([*pairs.train, *pairs.held_out], pairs.not_read, loaded.tokenizer, model))
    _report(trainer.train(resume=resume), output, ("loss", "eval_loss"))


def train(
    output: Path,
    data: DataOptions,
    config: DPOConfig,
    model: str = BASE_MODEL,
    reference: str | None = None,
    resume: bool = False,
) -> None:
    """Train a policy on preference pairs with DPO or another loss of its family.

    Args:
        output: new or empty folder for the policy, its metrics and its checkpoints.
        data: preference pairs.
        config: settings of the training run.
        model: initial policy: a bundled model, a local folder, or a model name on the Hugging Face Hub.
        reference: reference model, if it differs from the initial policy.
        resume: continue from the last checkpoint in the output folder.
    """
    from dpo_teach.batches import check_tokens
    from dpo_teach.models import load_model
    from dpo_teach.training import DPOTrainer

    pairs = data.load()
    loaded = load_model(model)
    data.set_chat_template(loaded.tokenizer)
    trainer = DPOTrainer(
        loaded.model, loaded.tokenizer, pairs.train, config, eval_pairs=pairs.held_out,
        reference=None if reference is None else _load_reference(reference, model, loaded), output=output,
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    print(_summary(len(trainer.pairs), "pairs", trainer.tokenized.truncation))
    _print_lines(data.describe([*pairs.train, *pairs.held_out], pairs.not_read, loaded.tokenizer, model))
    kept = [pairs.train[row] for row in trainer.tokenized.rows]
    findings = (*check_pairs(kept), *check_tokens(kept, trainer.pairs, loaded.tokenizer))
    _print_lines(f"worth a look: {finding}" for finding in findings)
    reported = ("loss", "margin", "preference_accuracy", "mean_logp_margin", "mean_logp_accuracy")  # if in the metrics
    _report(trainer.train(resume=resume), output, (*reported, *(f"eval_{name}" for name in reported)))


def evaluate(
    policy: tyro.conf.Positional[str],
    data: DataOptions,
    reference: str = BASE_MODEL,
    beta: float = 0.1,
    max_length: int | None = None,
    max_prompt_length: int | None = None,
    on_overlong: Literal["error", "drop"] = "error",
    samples: int = 512,
    seed: int = 0,
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Evaluate a policy on held-out pairs and, in the reviews world, by the true reward of new samples.

    Args:
        policy: the trained model.
        data: preference pairs; the held-out pairs are evaluated, or all pairs if none are held out.
        reference: the model that the policy was trained from.
        beta: beta of the margin and the loss.
        max_length: maximum tokens of prompt and response together. By default, the shorter context of the two models.
        max_prompt_length: maximum tokens of a prompt; longer prompts lose their beginning. By default, no limit.
        on_overlong: stop at a pair whose prompt leaves no token for a response, or drop it.
        samples: number of responses to sample in the reviews world.
        seed: random seed for sampling.
        json_output: print the results as one JSON object.
    """
    from dpo_teach.evaluation import evaluate_pairs, evaluate_reviews
    from dpo_teach.models import load_model
    from dpo_teach.worlds import reviews

    if samples < 0:
        raise ValueError(f"--samples must be at least 0, found {samples}")
    read = data.load()
    pairs = read.held_out or read.train
    loaded = load_model(policy)
    data.set_chat_template(loaded.tokenizer)
    _warn_of_trained_pairs(policy, pairs)
    reference_model = _load_reference(reference, policy, loaded)
    scores = dataclasses.asdict(
        evaluate_pairs(
            loaded.model, reference_model, loaded.tokenizer, pairs, beta=beta, max_length=max_length,
            max_prompt_length=max_prompt_length, on_overlong=on_overlong,
        )
    )  # fmt: skip
    prompts = [pair.prompt for pair in pairs][:samples]
    if len(prompts) > 1 and all(map(reviews.is_prompt, prompts)):
        fresh = evaluate_reviews(loaded.model, reference_model, loaded.tokenizer, prompts, seed=seed)
        scores |= dataclasses.asdict(fresh)
    if json_output:
        print(json.dumps(scores))
        return
    for name, value in scores.items():
        print(f"{name:22} {value:10.4f}" if isinstance(value, float) else f"{name:22} {value:>10}")


def sample(
    model: tyro.conf.Positional[str] = BASE_MODEL,
    prompt: str | None = None,
    count: int = 4,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
) -> None:
    """Sample responses from a model and print them.

    Args:
        model: bundled model, local folder, or model name on the Hugging Face Hub.
        prompt: the prompt; \\n stands for a new line. By default, random prompts of the reviews world.
        count: number of responses.
        max_new_tokens: maximum length of a response, in tokens.
        temperature: sampling temperature; 1 samples from the model's own distribution.
        seed: random seed for sampling.
    """
    import random

    from dpo_teach.models import load_model
    from dpo_teach.sampling import sample_responses
    from dpo_teach.worlds import reviews

    if count < 1:
        raise ValueError(f"--count must be at least 1, found {count}")
    rng = random.Random(seed)
    if prompt is None:
        prompts = [reviews.write_prompt(rng) for _ in range(count)]
    else:
        prompts = [prompt.replace("\\n", "\n")] * count
    loaded = load_model(model)
    responses = sample_responses(loaded.model, loaded.tokenizer, prompts, max_new_tokens=max_new_tokens,
                                 temperature=temperature, seed=seed)  # fmt: skip
    for one_prompt, response in zip(prompts, responses, strict=True):
        print(f"{one_prompt}|{response}\n")


def frontier(output: Path, config: SweepConfig) -> None:
    """Compare DPO, PPO, best-of-n and SFT in the reviews world at an equal budget: one to two hours, resumable.

    Args:
        output: results file; results that it already contains are not computed again.
        config: settings of the sweep.
    """
    from dpo_teach.frontier.sweep import sweep

    results = sweep(output, config, progress=sys.stderr.isatty())
    print(f"{len(results.results)} points in {output}")


def _warn_of_trained_pairs(policy: str, pairs: "Sequence[PreferencePair]") -> None:
    """Warn if the policy's folder says that it was trained on some of the pairs."""
    from dpo_teach.runs.fingerprint import fingerprint_text
    from dpo_teach.runs.folder import read_trained_on

    trained_on = read_trained_on(Path(policy))
    seen = sum(fingerprint_text(pair.prompt, pair.chosen) in trained_on for pair in pairs)
    if seen:
        logger.warning(
            "%s was trained on %d of these %d pairs: accuracy and margin on them do not carry over to new pairs; hold "
            "pairs out with the same --hold-out in train and evaluate", policy, seen, len(pairs),
        )  # fmt: skip


def _load_reference(reference: str, policy: str, loaded: "LoadedModel") -> Any:
    """Load the reference of a policy and check that both have the same tokenizer.

    Raises:
        ValueError: their tokenizers differ, so log π and log π_ref would belong to different token sequences.
    """
    from dpo_teach.models import load_model

    found = load_model(reference)
    ours, theirs = loaded.tokenizer, found.tokenizer
    if (ours.get_vocab(), ours.bos_token_id, ours.eos_token_id) != (
        theirs.get_vocab(), theirs.bos_token_id, theirs.eos_token_id,
    ):  # fmt: skip
        raise ValueError(f"--reference {reference!r}: expected the same tokenizer as {policy!r} ({len(ours)} tokens), "
                         f"found a different one ({len(theirs)} tokens); pass the model that the policy was trained "
                         "from")  # fmt: skip
    return found.model


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _summary(count: int, what: str, lost: "TruncationStats") -> str:
    return f"{count} {what}; truncated: {lost.prompts} prompts, {lost.responses} responses; dropped: {lost.dropped}"


def _report(metrics: Sequence[dict[str, int | float]], output: Path, names: Sequence[str]) -> None:
    last = metrics[-1]
    values = ", ".join(f"{name} {last[name]:.4f}" for name in names if name in last)
    print(f"step {last['step']}: {values}; saved in {output}")
