"""Rebuild the assets in `dpo_teach/assets/`: the small GPT-2, its preference pairs, and the policy after DPO.

    python -m tools.make_assets base-model    # reviews-gpt2: tokenizer and SFT on the grammar
    python -m tools.make_assets preferences   # reviews-preferences: sampled from that model, labelled by the annotator
    python -m tools.make_assets policy        # reviews-gpt2-dpo: that model after DPO on those pairs
    python -m tools.make_assets example-runs  # runs: the curves of five runs, four of them faulty, for an exercise
    python -m tools.make_assets snapshots     # runs: policies of long runs and of runs at several rates, evaluated
    python -m tools.make_assets sweeps        # frontier: all methods and losses compared; hours, but it resumes

Everything is generated from the project's own grammar and a random seed.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from shutil import copy
from typing import Any

import pyarrow.parquet
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dpo_teach.evaluation import evaluate_reviews
from dpo_teach.frontier.settings import SWEEPS
from dpo_teach.frontier.settings import TRAINING_PAIRS as FIRST_PAIRS
from dpo_teach.frontier.sweep import sweep
from dpo_teach.models import ASSETS, load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.runs.checkpoint import save_pretrained
from dpo_teach.sampling import sample_responses
from dpo_teach.training import DPOConfig, DPOTrainer, Example, LogRatioRecorder, SFTConfig, SFTTrainer
from dpo_teach.worlds import reviews
from tools.snapshots import record

__all__ = ["main", "make_model", "make_pairs", "make_policy", "make_runs", "make_sweeps"]

SEED = 0
VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 1024, 512, 128, 4, 4
REVIEWS = 44_000
TRAIN_PAIRS, TEST_PAIRS = 16_384, 512
PROMPTS_IN_BLOCK = 2_880
SPECIAL_TOKENS = BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"

SFT = SFTConfig(learning_rate=3e-3, batch_size=32, length_window=1024, save_every=0, seed=SEED)
RUNS: dict[str, dict[str, Any]] = {
    "A": {"learning_rate": 1e-3, "pairs": 128, "epochs": 16},
    "B": {"learning_rate": 5e-4},
    "C": {"learning_rate": 5e-4, "other_reference": True},
    "D": {"learning_rate": 3e-2},
    "E": {"learning_rate": 5e-7},
}
RECORDED = ("step", "loss", "margin", "preference_accuracy", "chosen_rewards", "rejected_rewards",
            "eval_loss", "eval_margin", "eval_preference_accuracy")  # fmt: skip
DPO = DPOConfig(beta=0.3, learning_rate=5e-4, batch_size=128, length_window=1, save_every=0, seed=SEED)


def make_model(output: Path = ASSETS / "reviews-gpt2") -> None:
    """Train the tokenizer and the small GPT-2 on reviews from the grammar, and save both."""
    rng = random.Random(SEED)
    examples = [Example(reviews.write_prompt(rng), reviews.write_response(rng)) for _ in range(REVIEWS)]
    tokenizer = train_tokenizer([example.prompt + example.response for example in examples])
    model = new_model(tokenizer)
    trainer = SFTTrainer(model, tokenizer, examples[512:], SFT, eval_examples=examples[:512], progress=True)
    print(f"held-out loss: {trainer.train()[-1]['eval_loss']:.3f} nats per token")
    _write(output, lambda folder: save_pretrained(folder, model.cpu().eval(), tokenizer))


def make_pairs(output: Path = ASSETS / "reviews-preferences") -> None:
    """Sample two responses for each of many openings, and have the annotator compare them.

    The first block of prompts gives the first training pairs and all test pairs, so that more training pairs can be
    added at the end without changing the others.
    """
    model, tokenizer = load_model("reviews-gpt2")
    rng = random.Random(SEED + 1)
    rows = sample_pairs(model, tokenizer, rng, seed=SEED + 1)
    train, seen = rows[:FIRST_PAIRS], {row["prompt"] for row in rows[:FIRST_PAIRS]}
    test = [row for row in rows[FIRST_PAIRS:] if row["prompt"] not in seen][:TEST_PAIRS]
    held_out = {row["prompt"] for row in test}
    for seed in count(SEED + 3, 2):
        if len(train) >= TRAIN_PAIRS:
            break
        rows = sample_pairs(model, tokenizer, rng, seed=seed)
        train += [row for row in rows if row["prompt"] not in held_out]
    output.mkdir(parents=True, exist_ok=True)
    for name, part in {"train": train[:TRAIN_PAIRS], "test": test}.items():
        table = pyarrow.Table.from_pylist(part)
        pyarrow.parquet.write_table(table, output / f"{name}.parquet", compression="zstd", compression_level=19)
        print(f"{output.name}/{name}.parquet: {len(part)} pairs")


def sample_pairs(model: Any, tokenizer: Any, rng: random.Random, *, seed: int) -> list[dict[str, Any]]:
    """Sample a block of pairs as rows. Pairs with equal or empty responses are left out."""
    prompts = [reviews.write_prompt(rng) for _ in range(PROMPTS_IN_BLOCK)]
    firsts = sample_responses(model, tokenizer, prompts, seed=seed)
    seconds = sample_responses(model, tokenizer, prompts, seed=seed + 1)
    return [
        _compare(prompt, first, second, rng)
        for prompt, first, second in zip(prompts, firsts, seconds, strict=True)
        if first != second and first.strip() and second.strip()
    ]


def make_policy(output: Path = ASSETS / "reviews-gpt2-dpo") -> None:
    """Train the small GPT-2 with DPO on its pairs, and record held-out pairs meanwhile for `LogRatioPlane`."""
    model, tokenizer = load_model("reviews-gpt2")
    reference, _ = load_model("reviews-gpt2")
    pairs, test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
    recorder = LogRatioRecorder(model, tokenizer, test[:64], every=16, beta=DPO.beta)
    DPOTrainer(model, tokenizer, pairs, DPO, on_step=recorder, progress=True).train()
    (ASSETS / "runs" / "history-reviews.json").write_text(recorder.history.to_json() + "\n", encoding="utf-8")
    print(evaluate_reviews(model.cpu(), reference, tokenizer, [pair.prompt for pair in test], seed=SEED))
    _write(output, lambda folder: save_pretrained(folder, model.eval(), tokenizer))


def make_runs(output: Path = ASSETS / "runs") -> None:
    """Record five runs of DPO, one healthy and four with a faulty setting, for "What is wrong with the run?"."""
    train, test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
    output.mkdir(parents=True, exist_ok=True)
    for label, settings in RUNS.items():
        model, tokenizer = load_model("reviews-gpt2")
        reference = load_model("reviews-gpt2-dpo").model if settings.get("other_reference") else None
        config = DPOConfig(beta=0.3, learning_rate=settings["learning_rate"], epochs=settings.get("epochs", 1),
                           max_steps=64, batch_size=32, eval_every=8, save_every=0, seed=SEED)  # fmt: skip
        pairs = train[: settings.get("pairs", FIRST_PAIRS)]
        trainer = DPOTrainer(model, tokenizer, pairs, config, eval_pairs=test[:128], reference=reference)
        rows = [{name: row[name] for name in RECORDED if name in row} for row in trainer.train()]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (output / f"{label}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{output.name}/{label}.jsonl: {len(rows)} steps")


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, like GPT-2's, that adds a beginning-of-sequence token before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL_TOKENS),
                                  initial_alphabet=alphabet, show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, padding_side="right",
        model_max_length=CONTEXT, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def new_model(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A GPT-2 with fresh weights, small enough to train on a laptop."""
    torch.manual_seed(SEED)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
            activation_function="gelu_pytorch_tanh",  # the same function as "gelu_new", computed in one operation
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def make_sweeps(work: Path = Path("runs/sweeps")) -> None:
    """Measure every sweep whose results the package ships; runs already in the folder are not measured again."""
    for name, config in SWEEPS.items():
        sweep(work / f"{name}.json", config)
        copy(work / f"{name}.json", ASSETS / "frontier" / f"{name}.json")


def _compare(prompt: str, first: str, second: str, rng: random.Random) -> dict[str, Any]:
    rewards = {first: reviews.true_reward(first), second: reviews.true_reward(second)}
    first_wins = reviews.prefers_first(rewards[first], rewards[second], rng)
    chosen, rejected = (first, second) if first_wins else (second, first)
    return {
        "prompt": prompt, "chosen": chosen, "rejected": rejected,
        "chosen_reward": rewards[chosen], "rejected_reward": rewards[rejected],
    }  # fmt: skip


def _write(output: Path, save: Callable[[Path], None]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    save(output)
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    print(f"{output.name}: {size:.1f} MB")


def main() -> None:
    """Build one of the assets, named on the command line."""
    makers = {"base-model": make_model, "preferences": make_pairs, "policy": make_policy, "example-runs": make_runs,
              "snapshots": record, "sweeps": make_sweeps}  # fmt: skip
    parser = argparse.ArgumentParser(prog="python -m tools.make_assets", description="Rebuild a bundled asset.")
    parser.add_argument("asset", choices=makers)
    asset = parser.parse_args().asset
    started = time.perf_counter()
    makers[asset]()
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
