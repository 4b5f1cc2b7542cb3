"""The tables and figures of notebook 04."""

import pytest

from dpo_teach.evaluation import ReviewScores
from dpo_teach.plots.runs import plot_annotator, plot_frontier
from dpo_teach.plots.tables import Table


def scores(*, true_reward: float = 1.0, kl: float = 2.0, fluency: float = 0.9) -> ReviewScores:
    return ReviewScores(256, true_reward, 0.1, kl, 0.2, fluency, 18.0)


def test_a_table_aligns_texts_left_and_numbers_right() -> None:
    table = Table(["run", "KL"], [["a long name", 1.5], ["b", 12]])
    assert repr(table) == "run           KL\na long name  1.5\nb             12"


def test_a_table_escapes_html() -> None:
    html = Table(["text"], [["<|pad|> & <b>"]])._repr_html_()
    assert "&lt;|pad|&gt; &amp; &lt;b&gt;" in html
    assert html.count("<tr>") == 2
    assert "text-align: left" in html
    assert "text-align: right" in Table(["n"], [[1]])._repr_html_()


def test_a_row_of_the_wrong_length_is_rejected_with_its_number() -> None:
    with pytest.raises(ValueError, match=r"row 2: expected 2 cells.*found 1"):
        Table(["a", "b"], [[1, 2], [3]])


def test_the_annotator_by_hand() -> None:
    # Up to 0.5: one of two right; from 4 to 6: two of two; the tie is left out.
    picture = plot_annotator([0.5, -0.5, 0.0, 5.0, 4.5], "A title.")
    assert repr(picture) == (
        "A title. Share of pairs in which the better response was chosen: 50 % at 0.5, 100 % at 4.8."
    )
    with pytest.raises(ValueError, match="found 2"):
        plot_annotator([0.0, 0.0], "A title.")


def test_a_gap_beyond_the_last_bin_edge_is_counted() -> None:
    assert "100 % at 9.0" in repr(plot_annotator([9.0], "A title."))


def test_the_frontier_has_an_alternative_text() -> None:
    runs = {"reference": scores(true_reward=0.0, kl=0.0), "beta 0.05": scores(true_reward=-3.0, kl=20.0, fluency=0.1)}
    picture = plot_frontier(runs, "A title.")
    assert "reference: true reward 0.0, KL 0.0, fluency 0.90; beta 0.05: true reward -3.0, KL 20.0" in repr(picture)
    assert picture.png == plot_frontier(runs, "A title.").png
    assert len(picture.png) < 60_000
    with pytest.raises(ValueError, match="runs"):
        plot_frontier({}, "A title.")
