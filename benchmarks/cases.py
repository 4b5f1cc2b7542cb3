"""The timed cases: each has a model folder in the Hub's format and a JSONL file of pairs, the same for all trainers."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from dpo_teach.models import ASSETS
from dpo_teach.pairs import load_pairs
from dpo_teach.worlds import reviews

__all__ = ["CASES", "Case", "prepare"]


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        name: its name in tables and files.
        about: a one-line description.
        pairs: number of pairs.
        batch_size: pairs in one step.
        steps: number of timed optimizer steps.
        size: size of the GPT-2, "bundled" or (layers, heads, width).
        prompt_sentences, response_sentences: minimum and maximum number of sentences; bundled pairs if None.
        precision: "fp32" or "bf16".
    """

    name: str
    about: str
    pairs: int
    batch_size: int
    steps: int
    size: str | tuple[int, int, int] = "bundled"
    prompt_sentences: tuple[int, int] | None = None
    response_sentences: tuple[int, int] | None = None
    precision: str = "fp32"


CASES = {
    case.name: case
    for case in (
        Case("reviews", "the bundled GPT-2 (1 M weights) and its pairs", pairs=1024, batch_size=32, steps=32),
        Case("gpt2", "GPT-2's own size (124 M weights, random), pairs of a few hundred tokens", pairs=12, batch_size=4,
             steps=3, size=(12, 12, 768), prompt_sentences=(2, 24), response_sentences=(6, 36)),
        Case("gpt2-gpu", "GPT-2's own size (124 M weights, random), bfloat16, on a GPU", pairs=640, batch_size=32,
             steps=20, size=(12, 12, 768), prompt_sentences=(2, 24), response_sentences=(6, 36), precision="bf16"),
        Case("gpt2-large-gpu", "GPT-2 large (774 M weights, random), bfloat16, on a GPU", pairs=192, batch_size=16,
             steps=12, size=(36, 20, 1280), prompt_sentences=(2, 24), response_sentences=(6, 36), precision="bf16"),
    )
}  # fmt: skip


def prepare(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write a case's model and pairs if they are missing; return (model folder, pairs file)."""
    model, pairs = folder / "model", folder / "pairs.jsonl"
    if not (model / "config.json").exists():
        _write_model(case, model)
    if not pairs.exists():
        _write_pairs(case, pairs)
    return model, pairs


def _write_model(case: Case, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "reviews-gpt2")
    if isinstance(case.size, str):
        model = GPT2LMHeadModel.from_pretrained(ASSETS / "reviews-gpt2")
    else:
        torch.manual_seed(0)
        layers, heads, width = case.size
        model = GPT2LMHeadModel(GPT2Config(
            n_layer=layers, n_head=heads, n_embd=width, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        ))  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_pairs(case: Case, path: Path) -> None:
    if case.prompt_sentences is None or case.response_sentences is None:
        rows = [[pair.prompt, pair.chosen, pair.rejected] for pair in load_pairs("reviews-preferences")[: case.pairs]]
    else:
        rng = random.Random(0)
        lengths = case.prompt_sentences, case.response_sentences, case.response_sentences
        rows = [[_text(rng, *length) for length in lengths] for _ in range(case.pairs)]
    names = ("prompt", "chosen", "rejected")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


def _text(rng: random.Random, least: int, most: int) -> str:
    """Sentences from random reviews; the text begins with a space, so that no token spans prompt and response."""
    count, sentences = rng.randint(least, most), []
    while len(sentences) < count:
        sentences += _sentences(reviews.write_response(rng))
    return " " + " ".join(sentences[:count])


def _sentences(review: str) -> Sequence[str]:
    return [f"{sentence.strip()}." for sentence in review.split(".") if sentence.strip()]
