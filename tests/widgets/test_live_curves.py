"""The live curves, called as a trainer calls them: at every step of a run, and in a whole run of a tiny policy."""

import base64
import itertools
import math

import pytest
from matplotlib.text import Text
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.training import DPOConfig, DPOTrainer
from dpo_teach.widgets import LiveCurves, live_curves


def row(step: int, *, margin: float = 0.1, chosen: float = 0.0, rejected: float = -0.1) -> dict[str, float]:
    return {
        "step": step, "loss": -math.log(1 / (1 + math.exp(-margin))), "margin": margin, "preference_accuracy": 0.75,
        "chosen_rewards": chosen, "rejected_rewards": rejected, "learning_rate": 1e-4, "seconds": 0.1,
    }  # fmt: skip


def drive(curves: LiveCurves, steps: int) -> list[bytes]:
    pictures = []
    for step in range(1, steps + 1):
        curves(row(step, margin=0.1 * step, chosen=-0.01 * step, rejected=-0.11 * step))
        pictures.append(curves.picture)
        assert curves.error is None
        assert "nan" not in repr(curves)
    return pictures


@pytest.mark.slow
def test_the_image_changes_every_few_steps_and_after_the_last() -> None:
    pictures = drive(LiveCurves(steps=10, beta=0.1, every=4), 10)
    changes = [step for step, (a, b) in enumerate(itertools.pairwise(pictures), start=2) if a != b]
    assert changes == [4, 8, 10]
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 60_000 for picture in pictures)


def test_a_run_reuses_one_figure_and_its_artists() -> None:
    curves = LiveCurves(steps=8, beta=0.1)
    figure, lines = curves.figure, dict(curves._lines)
    drive(curves, 8)
    assert curves.figure is figure
    assert curves._lines == lines
    assert [len(axes.lines) for axes in curves._axes] == [3, 3, 3, 5]  # a baseline, and two lines for each curve


@pytest.mark.slow
def test_equal_runs_give_equal_reprs_and_images() -> None:
    first, second = LiveCurves(steps=8, beta=0.1), LiveCurves(steps=8, beta=0.1)
    assert drive(first, 8) == drive(second, 8)
    assert repr(first) == repr(second)
    assert "0x" not in repr(first)
    assert "\n" not in repr(first)


def test_rewards_are_divided_by_beta() -> None:
    curves = LiveCurves(steps=1, beta=0.25)
    curves(row(1, chosen=0.5, rejected=-1.0))
    assert "log P of chosen +2.0 and of rejected -4.0 since the start" in repr(curves)
    assert list(curves._lines["chosen"][1].get_ydata()) == [2.0]
    assert list(curves._lines["rejected"][1].get_ydata()) == [-4.0]


def test_a_point_of_a_bold_curve_is_the_mean_of_the_last_steps() -> None:
    curves = LiveCurves(steps=16, beta=1.0, every=1)  # an eighth of the run: two steps
    for step, margin in ((1, 0.0), (2, 0.4), (3, 0.2)):
        curves(row(step, margin=margin))
    assert list(curves._lines["margin"][0].get_ydata()) == [0.0, 0.4, 0.2]
    assert list(curves._lines["margin"][1].get_ydata()) == pytest.approx([0.0, 0.2, 0.3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "rejected", "margin", "finding"),
    [
        (0.1, -0.1, 0.2, "The margin grew: chosen rose, rejected fell."),
        (-0.1, -0.3, 0.2, "The margin grew: chosen and rejected both fell."),
        (0.3, 0.1, 0.2, "The margin grew: chosen and rejected both rose."),
        (-0.1, 0.1, -0.2, "The margin did not grow: chosen fell, rejected rose."),
    ],
)
def test_the_headline_states_the_result_of_the_run(chosen: float, rejected: float, margin: float, finding: str) -> None:
    curves = LiveCurves(steps=1, beta=0.1)
    assert curves._headline.get_text() == "Waiting for the first step."
    curves(row(1, chosen=chosen, rejected=rejected, margin=margin))
    assert curves._headline.get_text() == finding


def test_all_values_are_within_their_axes() -> None:
    curves = LiveCurves(steps=2, beta=0.01)
    curves(row(1, margin=-9.0, chosen=-1.0, rejected=1.0))
    curves(row(2, margin=30.0, chosen=-2.0, rejected=3.0))
    for name, axes in zip(
        ("loss", "margin", "preference_accuracy", "chosen", "rejected"), (0, 1, 2, 3, 3), strict=True
    ):
        low, high = curves._axes[axes].get_ylim()
        assert all(low <= y <= high for y in curves._lines[name][0].get_ydata())


@pytest.mark.slow
def test_all_texts_are_within_the_figure() -> None:
    curves = LiveCurves(steps=64, beta=0.3)
    drive(curves, 64)
    curves.figure.canvas.draw()
    page = curves.figure.bbox
    texts: list[Text] = [curves._headline]
    for axes in curves._axes:
        texts += [axes._left_title, axes.xaxis.label, *axes.texts]
    for text in texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()


@pytest.mark.slow
def test_a_second_run_clears_the_curves_of_the_first() -> None:
    curves = LiveCurves(steps=4, beta=0.1)
    drive(curves, 4)
    drive(curves, 4)
    assert len(curves.rows) == 4


@pytest.mark.slow
def test_the_curves_of_a_real_run_match_the_metrics() -> None:
    curves = LiveCurves(steps=6, beta=0.5, every=2)
    config = DPOConfig(beta=0.5, batch_size=8, max_steps=6, epochs=2, learning_rate=1e-2, save_every=0)
    rows = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), config, on_step=curves).train()
    assert [r["loss"] for r in curves.rows] == [r["loss"] for r in rows]
    ratios = [r["chosen"] - r["rejected"] for r in curves.rows]
    assert [0.5 * ratio for ratio in ratios] == pytest.approx([r["margin"] for r in rows], abs=1e-5)


def test_an_error_stops_the_run_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = LiveCurves(steps=2, beta=0.1, every=1)

    def update() -> None:
        raise RuntimeError("the <artist> is gone")

    monkeypatch.setattr(curves, "update", update)
    with pytest.raises(RuntimeError, match="is gone"):
        curves(row(1))
    assert curves.error_message == "RuntimeError: the <artist> is gone"


def test_the_saved_image_shows_the_complete_run(monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[str] = []

    class Handle:
        def update(self, shown: LiveCurves) -> None:
            updates.append(repr(shown))

    monkeypatch.setattr(live_curves, "display", lambda shown, display_id: Handle())
    curves = LiveCurves(steps=5, beta=0.1, every=2)
    curves.show()
    drive(curves, 5)
    assert updates == [repr(curves)]
    assert "step 5 of 5" in updates[0]
    data, _ = curves._repr_mimebundle_()
    assert data["text/plain"] == repr(curves)
    assert base64.b64decode(data["image/png"]) == curves.picture  # has no control, so nothing to say about them


@pytest.mark.parametrize(
    ("steps", "beta", "every", "words"),
    [
        (0, 0.1, 4, "steps and every must be at least 1, found 0 and 4"),
        (5, 0.1, 0, "steps and every must be at least 1, found 5 and 0"),
        (5, 0.0, 4, "beta must be above 0, found 0.0"),
        (5, math.nan, 4, "beta must be above 0, found nan"),
    ],
)
def test_invalid_arguments_are_rejected(steps: int, beta: float, every: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LiveCurves(steps=steps, beta=beta, every=every)


def test_a_run_without_rewards_is_refused() -> None:
    values = row(1)
    del values["margin"]
    with pytest.raises(ValueError, match="its loss has no reference"):
        LiveCurves(steps=5, beta=0.1)(values)
