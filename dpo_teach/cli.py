"""`dpo-teach`: inspect data, fine-tune, train with DPO, evaluate, sample."""

import contextlib
import dataclasses
import functools
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import tyro

from dpo_teach.pairs import PreferencePair, hold_out, load_pairs, survey_pairs
from dpo_teach.training.config import DPOConfig, SFTConfig

__all__ = ["main"]

BASE_MODEL = "reviews-gpt2"
INSPECTED_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How preference data is read."""

    split: str = "train"
    """Which file of a folder, or which split of a Hub dataset."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns of other names, as: prompt QUESTION chosen GOOD rejected BAD."""
    prompt_template: str | None = None
    """A prompt out of several columns, as '{instruction}\\n{input}\\n'; \\n is a new line."""

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `load_pairs` and `survey_pairs`."""
        template = None if self.prompt_template is None else self.prompt_template.replace("\\n", "\n")
        return {"split": self.split, "columns": self.columns or None, "prompt_template": template}


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which preference pairs, and how many of them are kept away from training."""

    data: str = "reviews-preferences"
    """A .jsonl, .json or .parquet file, a folder of them, the bundled reviews-preferences, or a Hub dataset."""
    on_bad_row: Literal["error", "drop"] = "error"
    """What to do with a row that is no pair: stop and name it, or leave it out."""
    hold_out: int = 0
    """So many pairs, chosen by the seed below, are held out: trained on by no command, evaluated on by all."""
    hold_out_seed: int = 0
    """Decides which pairs are held out. Give sft, train and evaluate the same."""

    def load(self) -> tuple[list[PreferencePair], list[PreferencePair]]:
        """The pairs to train on, and those held out."""
        pairs = load_pairs(self.data, **self.as_arguments(), on_bad_row=self.on_bad_row)
        return hold_out(pairs, self.hold_out, self.hold_out_seed)


def inspect(
    data: tyro.conf.Positional[str], reading: ReadingOptions, model: str = BASE_MODEL, max_length: int | None = None
) -> None:
    """Print what was understood of preference data: counts, lengths in tokens, three rows, and what is wrong.

    Args:
        data: a .jsonl, .json or .parquet file, a folder of them, reviews-preferences, or a Hub dataset.
        reading: how to read it.
        model: whose tokens to count in.
        max_length: tokens of prompt and response that fit; the model's context by default.
    """
    from dpo_teach.batches import tokenize_pair, tokenize_prompt, tokenize_response
    from dpo_teach.models import context_length, load_model

    survey = survey_pairs(data, **reading.as_arguments())
    loaded = load_model(model)
    limit = max_length or context_length(loaded.model)
    problems = [str(problem) for problem in survey.problems]
    for number, pair in enumerate(survey.pairs, start=1):
        try:
            tokenize_pair(pair, loaded.tokenizer, max_length=limit)
        except ValueError as error:
            problems.append(f"{pair.where or f'pair {number}'}, {error}")
    print(f"{data}: {len(survey.pairs)} pairs, {len(survey.problems)} rows that cannot be used")
    lengths = {
        "prompt": [len(tokenize_prompt(pair.prompt, loaded.tokenizer)) for pair in survey.pairs],
        "chosen": [len(tokenize_response(pair.chosen, loaded.tokenizer)) for pair in survey.pairs],
        "rejected": [len(tokenize_response(pair.rejected, loaded.tokenizer)) for pair in survey.pairs],
    }
    if survey.pairs:
        _print_lengths(lengths, limit, model)
    for pair in survey.pairs[:INSPECTED_ROWS]:
        print(f"\n  prompt    {pair.prompt!r}\n  chosen    {pair.chosen!r}\n  rejected  {pair.rejected!r}")
    print(f"\nproblems: {len(problems)}")
    for problem in problems:
        print(f"  {problem}")
    if problems:
        raise ValueError(f"{data}: {len(problems)} problems, listed above; --on-bad-row drop and --on-overlong drop "
                         "leave such pairs out of training")  # fmt: skip


def sft(output: Path, data: DataOptions, config: SFTConfig, model: str = BASE_MODEL, resume: bool = False) -> None:
    """Fine-tune a model on the chosen responses: the stage before DPO.

    Args:
        output: a new or empty folder for the model, its metrics and checkpoints.
        data: preference pairs; their prompts and chosen responses are used.
        config: how to train.
        model: a bundled name, a local folder, or a name on the Hub.
        resume: go on from the last checkpoint in the output folder.
    """
    from dpo_teach.models import load_model
    from dpo_teach.training import Example, SFTTrainer

    examples, held_out = ([Example(pair.prompt, pair.chosen, pair.where) for pair in part] for part in data.load())
    loaded = load_model(model)
    trainer = SFTTrainer(
        loaded.model, loaded.tokenizer, examples, config, eval_examples=held_out, output=output, progress=True
    )
    _report(trainer.train(resume=resume), output, ("loss", "eval_loss"))


def train(
    output: Path,
    data: DataOptions,
    config: DPOConfig,
    model: str = BASE_MODEL,
    reference: str | None = None,
    resume: bool = False,
) -> None:
    """Train a policy on preference pairs with DPO.

    Args:
        output: a new or empty folder for the policy, its metrics and checkpoints.
        data: preference pairs.
        config: how to train.
        model: the policy's start: a bundled name, a local folder, or a name on the Hub.
        reference: another reference than the policy's start.
        resume: go on from the last checkpoint in the output folder.
    """
    from dpo_teach.models import load_model
    from dpo_teach.training import DPOTrainer

    train_pairs, held_out = data.load()
    loaded = load_model(model)
    trainer = DPOTrainer(
        loaded.model, loaded.tokenizer, train_pairs, config, eval_pairs=held_out,
        reference=None if reference is None else load_model(reference).model, output=output, progress=True,
    )  # fmt: skip
    tokenized = trainer.tokenized
    print(f"{len(tokenized.pairs)} pairs, {tokenized.truncated} cut to fit, {tokenized.dropped} left out")
    _report(trainer.train(resume=resume), output, ("loss", "margin", "preference_accuracy", "eval_loss",
                                                   "eval_margin", "eval_preference_accuracy"))  # fmt: skip


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
    """Judge a policy on held-out pairs; in the reviews world also its fresh samples, by their true reward.

    Args:
        policy: the trained model.
        data: preference pairs; the held-out ones are used, or all of them if none are.
        reference: the model that the policy started from.
        beta: the beta of margin and loss.
        max_length: tokens of prompt and response together; the model's context by default.
        max_prompt_length: tokens of the prompt that are kept; all by default.
        on_overlong: what to do with a pair that has no room for a response.
        samples: how many responses to draw in the reviews world; 0 for none.
        seed: decides the samples.
        json_output: print one JSON object.
    """
    from dpo_teach.evaluation import evaluate_pairs, evaluate_reviews
    from dpo_teach.models import load_model
    from dpo_teach.worlds import reviews

    rest, held_out = data.load()
    pairs = held_out or rest
    loaded, reference_model = load_model(policy), load_model(reference).model
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
    """Print responses of a model.

    Args:
        model: a bundled name, a local folder, or a name on the Hub.
        prompt: what to respond to; \\n is a new line. Without one, openings of the reviews world.
        count: how many responses.
        max_new_tokens: tokens of a response at most.
        temperature: 1 samples the model as it is.
        seed: decides the samples.
    """
    import random

    from dpo_teach.models import load_model
    from dpo_teach.sampling import sample_responses
    from dpo_teach.worlds import reviews

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


COMMANDS: dict[str, Callable[..., None]] = {
    "inspect": inspect,
    "sft": sft,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what is wrong is told in one line, with exit status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _quieten_libraries()
    try:
        _parse(arguments)()
    except (ValueError, OSError) as error:
        sys.exit(_complain(str(error) or type(error).__name__))
    except KeyboardInterrupt:
        print("dpo-teach: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def _parse(arguments: Sequence[str] | None) -> Callable[[], None]:
    """The command with its arguments, ready to be called; a mistake in them is told in one line, not in a box."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command) for name, command in COMMANDS.items()},
                prog="dpo-teach", description=__doc__, args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )  # fmt: skip
    except SystemExit as stop:
        if not stop.code:
            raise
        sys.exit(_complain(_without_box(told.getvalue())))


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    @functools.wraps(command)
    def with_arguments(**arguments: Any) -> Callable[[], None]:
        return functools.partial(command, **arguments)

    return with_arguments


def _without_box(text: str) -> str:
    """The first paragraph inside the box that the argument parser draws around what is wrong."""
    lines = [line.strip("│╭╮╰╯─ ") for line in text.splitlines()[1:]]
    message = " ".join(itertools.takewhile(bool, lines))
    return message.replace("Error parsing __tyro-dummy-inner__.config: ", "") + " (see --help)"


def _complain(message: str) -> int:
    print(f"dpo-teach: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _quieten_libraries() -> None:
    """Keep the libraries' own progress bars and advice out of what a person reads."""
    for name, value in {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error",
                        "HF_HUB_VERBOSITY": "error"}.items():  # fmt: skip
        os.environ.setdefault(name, value)


def _report(metrics: Sequence[dict[str, int | float]], output: Path, names: Sequence[str]) -> None:
    last = metrics[-1]
    told = ", ".join(f"{name} {last[name]:.4f}" for name in names if name in last)
    print(f"step {last['step']}: {told}; saved in {output}")


def _print_lengths(lengths: dict[str, list[int]], limit: int, model: str) -> None:
    print(f"tokens of {model} ({limit} fit):    shortest   median  longest")
    for name, counts in lengths.items():
        print(f"  {name:30} {min(counts):8} {median(counts):8.0f} {max(counts):8}")


if __name__ == "__main__":
    main()
