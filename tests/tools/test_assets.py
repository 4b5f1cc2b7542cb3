"""Bundled assets are small, consistent with the reviews world, and name the command that built them."""

import math

import pyarrow.parquet
import pytest

from dpo_teach.models import ASSETS, BUNDLED_MODELS
from dpo_teach.pairs import load_pairs
from dpo_teach.worlds import reviews

PAIRS = ASSETS / "reviews-preferences"
MADE_BY = {
    "reviews-gpt2": "make base-model",
    "reviews-preferences": "make preferences",
    "reviews-gpt2-dpo": "make policy",
}


def rows(split):
    return pyarrow.parquet.read_table(PAIRS / f"{split}.parquet").to_pylist()


@pytest.mark.parametrize(("folder", "command"), MADE_BY.items())
def test_every_asset_names_the_command_that_built_it(folder, command):
    assert command in (ASSETS / folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BUNDLED_MODELS)
def test_models_are_safetensors_of_at_most_ten_megabytes(name):
    files = sorted(file.name for file in (ASSETS / name).iterdir())
    assert [file for file in files if file.endswith((".bin", ".pt", ".pkl"))] == []
    assert (ASSETS / name / "model.safetensors").stat().st_size <= 10_000_000


@pytest.mark.slow
def test_there_are_enough_pairs_and_no_prompt_is_in_both_splits():
    assert len(load_pairs("reviews-preferences", split="train")) == 16_384
    assert len(load_pairs("reviews-preferences", split="test")) == 512
    assert sum(file.stat().st_size for file in PAIRS.iterdir()) <= 2_000_000
    assert not {row["prompt"] for row in rows("train")} & {row["prompt"] for row in rows("test")}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_recorded_true_rewards_match_the_grammar_in_every_eighth_row(split):
    for row in rows(split)[::8]:
        assert row["chosen_reward"] == reviews.true_reward(row["chosen"])
        assert row["rejected_reward"] == reviews.true_reward(row["rejected"])
        assert reviews.is_prompt(row["prompt"])


def test_the_annotators_error_rate_matches_the_bradley_terry_model():
    gaps = [row["chosen_reward"] - row["rejected_reward"] for row in rows("train")]
    right = sum(gap > 0 for gap in gaps) + sum(gap == 0 for gap in gaps) / 2
    chances = [1 / (1 + math.exp(-abs(gap))) for gap in gaps]
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    assert abs(right - sum(chances)) < 4 * spread
    assert 0.6 < right / len(gaps) < 0.95, "expected an annotator that is neither random nor perfect"
