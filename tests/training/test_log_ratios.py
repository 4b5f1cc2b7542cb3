"""The history of held-out pairs: its checks, its JSON, and a recorder that does not change the run."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import PAD, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import tokenize_pairs
from dpo_teach.logps import pair_logps
from dpo_teach.models import freeze_reference
from dpo_teach.sampling import sample_tokens
from dpo_teach.training import (
    DPOConfig,
    DPOTrainer,
    LogRatioRecorder,
    PairHistory,
    bundled_histories,
    read_history,
    reference_kl,
)
from dpo_teach.training.log_ratios import TokenizedPair

GOOD: dict[str, Any] = {"steps": [0, 8], "log_ratios": [[[0.0, 0.0]] * 3, [[-1.0, -4.0]] * 3]}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"log_ratios": [[0.0, 0.0]]}, r"log_ratios: expected shape \(steps, pairs, 2\) with 2 steps, found \(1, 2\)"),
    ({"log_ratios": torch.zeros(3, 5, 2)}, r"with 2 steps, found \(3, 5, 2\)"),
    ({"log_ratios": torch.zeros(2, 5, 3)}, r"with 2 steps, found \(2, 5, 3\)"),
    ({"log_ratios": torch.zeros(2, 0, 2)}, r"with 2 steps, found \(2, 0, 2\)"),
    ({"log_ratios": [[[0.0, 0.0]], [[0.0]]]}, "log_ratios: expected a table of numbers with shape"),
    ({"log_ratios": [[[0.0, 0.0]], [[0.0, math.nan]]]}, r"found \[0.0, nan\] for pair 1 at step 8"),
    ({"steps": [8, 0]}, r"steps: expected at least one step, in increasing order, found \[8, 0\]"),
    ({"steps": []}, r"in increasing order, found \[\]"),
    ({"steps": [0, 1.5]}, "steps: expected integers of at least 0, found 1.5"),
    ({"kl": [0.0]}, "kl: expected 2 numbers, one per step, found 1"),
    ({"kl": [0.0, -0.5]}, "kl: expected finite numbers of at least 0, found -0.5 at step 8"),
    ({"kl": [0.0, "1"]}, "kl: expected numbers, found '1'"),
    ({"beta": 0.0}, "beta: expected a finite number above 0, found 0.0"),
]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_the_error_for_an_invalid_history_states_what_was_expected_and_found(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        PairHistory(**{**GOOD, **changes})
    assert "\n" not in str(caught.value)


def test_json_keeps_a_history_to_a_hundredth_of_a_nat() -> None:
    torch.manual_seed(0)
    history = PairHistory(tuple(range(0, 272, 16)), 40 * torch.randn(17, 64, 2), kl=(1.23456,) * 17, beta=0.1)
    text = history.to_json()
    assert len(text) < 60_000  # the largest file that may come with the package
    again = PairHistory.from_json(text)
    assert (again.steps, again.beta, again.kl) == (history.steps, 0.1, (1.235,) * 17)
    assert (again.log_ratios - history.log_ratios).abs().max() <= 0.005 + 1e-5
    assert again.to_json() == text


def test_a_history_with_another_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="history: expected the fields beta, kl, log_ratios, steps, found steps"):
        PairHistory.from_json('{"steps": [0]}')


def test_an_unknown_history_and_an_invalid_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"history must be .*, found 'tomorrow'"):
        read_history("tomorrow")
    path = tmp_path / "mine.json"
    path.write_text('{"steps": [0], "log_ratios": [["a"]], "kl": null, "beta": null}')
    with pytest.raises(ValueError, match=r"^mine\.json: log_ratios: expected a table"):
        read_history(path)
    path.write_text(PairHistory.from_dict({**GOOD, "kl": None, "beta": None}).to_json())
    assert read_history(path).means.tolist() == [[0.0, 0.0], [-1.0, -4.0]]


@pytest.mark.parametrize("name", bundled_histories())
def test_a_bundled_history_is_small(name: str) -> None:
    history = read_history(name)
    assert history.kl is not None
    assert len(history.to_json()) < 60_000


# The recorder


def run(*, record: bool, every: int = 2) -> tuple[list[dict[str, float]], PairHistory | None, Any]:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    recorder = LogRatioRecorder(model, tokenizer, tiny_pairs(6, seed=1), every=every, beta=0.1) if record else None
    config = DPOConfig(batch_size=8, learning_rate=1e-2, epochs=2, length_window=8, save_every=0)
    trainer = DPOTrainer(model, tokenizer, tiny_pairs(), config, on_step=recorder)
    metrics = trainer.train()
    return metrics, None if recorder is None else recorder.history, model


@pytest.mark.slow
def test_a_run_has_the_same_numbers_with_and_without_the_recorder() -> None:
    (with_it, history, model), (without, _, twin) = run(record=True), run(record=False)
    for one, other in zip(with_it, without, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    assert all(torch.equal(*both) for both in zip(model.parameters(), twin.parameters(), strict=True))
    assert history is not None
    assert (history.steps, history.beta) == ((0, 2, 4, 6), 0.1)


@pytest.mark.slow
def test_the_record_is_that_of_the_policy_and_the_reference() -> None:
    _, history, model = run(record=True)
    assert history is not None
    pairs = tokenize_pairs(tiny_pairs(6, seed=1), tiny_tokenizer(), max_length=32).pairs
    expected = pair_logps(model, pairs, PAD) - pair_logps(tiny_model(), pairs, PAD)
    assert torch.allclose(history.log_ratios[-1], expected, atol=1e-5)
    assert history.log_ratios[0].abs().max() == 0
    assert history.kl is not None
    assert history.kl[0] == 0
    assert history.kl[-1] == pytest.approx(reference_kl(model, tiny_model(), pairs, PAD), rel=1e-5)


def test_record_adds_a_step_that_is_no_multiple() -> None:
    model = tiny_model()
    recorder = LogRatioRecorder(model, tiny_tokenizer(), tiny_pairs(4), every=16)
    recorder({"step": 5, "loss": 0.6})
    assert recorder.history.steps == (0,)
    recorder.record(5)
    assert recorder.history.steps == (0, 5)


@pytest.mark.parametrize("training", [True, False])
def test_the_recorder_leaves_the_model_in_its_mode_and_without_gradients(training: bool) -> None:
    model = tiny_model().train(training)
    recorder = LogRatioRecorder(model, tiny_tokenizer(), tiny_pairs(4))
    recorder.record(16)
    assert model.training is training
    assert not recorder.reference.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_an_invalid_interval_is_rejected() -> None:
    with pytest.raises(ValueError, match="every: expected a number of steps of at least 1, found 0"):
        LogRatioRecorder(tiny_model(), tiny_tokenizer(), tiny_pairs(4), every=0)


def test_the_kl_of_a_response_is_the_sum_over_its_tokens() -> None:
    """One response of two tokens, by hand from the logits of both models."""
    policy, reference = tiny_model(1), tiny_model()
    pair = TokenizedPair((1, 3, 4), (5, 2), (5, 2))
    ids = torch.tensor([[1, 3, 4, 5, 2]])
    p, q = (F.softmax(model(ids).logits[0, 2:4].double(), dim=-1) for model in (reference, policy))
    expected = (p * (p / q).log()).sum().item()
    assert reference_kl(policy, reference, [pair], PAD) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_mean_log_ratio_of_samples_of_the_reference_is_minus_the_kl() -> None:
    """The identity behind the line of LogRatioPlane: E[log π - log π_ref] = -KL(π_ref ‖ π), within three errors."""
    reference = tiny_model()
    policy = freeze_reference(reference)
    torch.manual_seed(1)
    for parameter in policy.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    samples = sample_tokens(reference, tiny_tokenizer(), ["the plot was"] * 1000, max_new_tokens=6, seed=0)
    pairs = [
        TokenizedPair(tuple(one.prompt_ids), tuple(one.response_ids), tuple(other.response_ids))
        for one, other in zip(samples[::2], samples[1::2], strict=True)
    ]
    log_ratios = pair_logps(policy, pairs, PAD) - pair_logps(reference, pairs, PAD)
    kl = reference_kl(policy, reference, pairs, PAD)
    assert kl > 0.01
    assert log_ratios.mean().item() == pytest.approx(-kl, abs=3 * log_ratios.std().item() / 1000**0.5)
