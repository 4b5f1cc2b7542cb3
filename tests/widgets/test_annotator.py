"""The annotator: no label is lost, training sees no held-back label, and the result is measured."""

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpo_teach.pairs import PairError, PreferencePair, load_pairs
from dpo_teach.widgets import Annotator, annotator
from dpo_teach.widgets.annotation import Annotation, Candidate, LabelFile, label_candidates
from dpo_teach.widgets.annotation_experiment import (
    RULES,
    Agreement,
    Trait,
    mentions_the_cast,
    prefers_kinder,
    prefers_shorter,
    prefers_the_cast,
    review_candidates,
)
from dpo_teach.worlds import reviews

CANDIDATES = [Candidate(f"We saw film {n}.", f" Fine {n}.", f" It was awful {n}.") for n in range(12)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels" / "mine.jsonl"


def annotate(path: Path, wanted: int = 10) -> Annotation:
    return Annotation(path, CANDIDATES, wanted=wanted)


def panel(path: Path, wanted: int = 10) -> Annotator:
    return Annotator(path, candidates=CANDIDATES, wanted=wanted)


def press(shown: Annotator, name: str, **arguments: Any) -> None:
    """Send a command as the browser does."""
    shown._run_command(None, {"command": name, "turn": shown.turn, **arguments}, None)


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Labels on the disk


def test_load_pairs_reads_the_labels(path: Path) -> None:
    labelling = annotate(path)
    labelling.choose("left")
    labelling.choose("right")
    assert load_pairs(path) == [
        PreferencePair("We saw film 0.", chosen=" Fine 0.", rejected=" It was awful 0."),
        PreferencePair("We saw film 1.", chosen=" It was awful 1.", rejected=" Fine 1."),
    ]
    assert rows(path)[0] == {"prompt": "We saw film 0.", "chosen": " Fine 0.", "rejected": " It was awful 0."}


def test_choose_waits_until_the_label_is_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []  # the file and its size at each fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_ino, os.fstat(file).st_size)))
    labelling = annotate(path)
    for _ in range(3):
        labelling.choose("left")
        assert (path.stat().st_ino, path.stat().st_size) in synced
        assert len(rows(path)) == len(labelling.labels)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGKILL nor fork")
def test_a_killed_session_loses_no_label_and_can_be_continued(path: Path) -> None:
    child = os.fork()
    if child == 0:
        labelling = annotate(path)
        for side in ("left", "right", "left"):
            labelling.choose(side)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    resumed = annotate(path)
    assert [pair.chosen for pair in resumed.labels] == [" Fine 0.", " It was awful 1.", " Fine 2."]
    assert resumed.current == CANDIDATES[3]


def test_a_full_disk_leaves_the_file_and_the_labels_unchanged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    labelling = annotate(path)
    labelling.choose("left")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            labelling.choose("right")
        with pytest.raises(OSError, match="No space left"):
            labelling.undo()
    assert path.read_bytes() == before
    assert (len(labelling.labels), labelling.current) == (1, CANDIDATES[1])
    labelling.choose("right")
    assert len(load_pairs(path)) == 2


# Skip and undo


def test_a_skipped_pair_is_not_written_and_is_shown_last(path: Path) -> None:
    labelling = annotate(path, wanted=12)
    labelling.skip()
    assert not path.exists()
    assert labelling.current == CANDIDATES[1]
    for _ in range(11):
        labelling.choose("left")
    assert labelling.current == CANDIDATES[0]
    labelling.choose("right")
    assert labelling.finished
    assert labelling.current is None
    assert len(load_pairs(path)) == 12


def test_undo_removes_the_label_and_returns_to_its_pair(path: Path) -> None:
    labelling = annotate(path)
    for side in ("left", "right"):
        labelling.choose(side)
    labelling.undo()
    assert (labelling.current, len(load_pairs(path))) == (CANDIDATES[1], 1)
    labelling.choose("left")
    assert [pair.chosen for pair in load_pairs(path)] == [" Fine 0.", " Fine 1."]
    for _ in range(2):
        labelling.undo()
    assert path.read_bytes() == b""
    assert annotate(path).current == CANDIDATES[0]  # an empty file has no labels; it is not invalid
    with pytest.raises(ValueError, match="no answer to undo"):
        labelling.undo()


def test_undo_works_on_labels_of_an_earlier_session(path: Path) -> None:
    first = annotate(path)
    first.choose("left")
    first.choose("left")
    second = annotate(path)
    second.undo()
    assert (second.current, len(load_pairs(path))) == (CANDIDATES[1], 1)


def test_a_failed_rename_leaves_all_labels(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelling = annotate(path)
    labelling.choose("left")
    labelling.choose("left")
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> Path:
        assert (target, path.read_bytes()) == (path, before)  # all labels are there until this moment
        raise OSError(errno.EIO, "the power went out")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="power"):
            labelling.undo()
    assert len(load_pairs(path)) == len(labelling.labels) == 2


@pytest.mark.slow
@given(answers=st.lists(st.sampled_from(["left", "right", "skip", "undo", "reopen"]), max_size=40))
def test_the_file_holds_the_labels_after_any_sequence_of_answers(
    answers: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("answers") / "labels.jsonl"
    labelling, history = annotate(path), []
    for answer in answers:
        if answer == "reopen":
            before = list(labelling.labels)
            labelling, history = annotate(path), []
            assert labelling.labels == before
        elif answer == "undo":
            if history:
                labelling.undo()
                assert (labelling.current, list(labelling.labels)) == history.pop()
        elif not labelling.finished:
            history.append((labelling.current, list(labelling.labels)))
            labelling.skip() if answer == "skip" else labelling.choose(answer)
        assert (load_pairs(path) if labelling.labels else []) == labelling.labels
        assert len({pair.prompt for pair in labelling.labels}) == len(labelling.labels)  # no pair is shown twice


# Held-back labels


def test_every_fifth_label_is_held_back(path: Path) -> None:
    labelling = annotate(path, wanted=11)
    labelling.answer_with(lambda prompt, left, right: "left")
    assert [pair.prompt for pair in labelling.held_back] == ["We saw film 4.", "We saw film 9."]
    assert [pair.prompt for pair in labelling.training_pairs] == [
        f"We saw film {n}." for n in (0, 1, 2, 3, 5, 6, 7, 8, 10)
    ]


# Invalid files

GOOD = '{"prompt": "We saw it.", "chosen": " Good.", "rejected": " Bad."}\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + GOOD[:40], "line 2: expected one JSON object per line, found invalid JSON"),
        (GOOD + '{"prompt": "We saw it.", "chosen": " Good."}\n', "line 2, field 'rejected': "),
        (GOOD + GOOD.replace(" Bad", " Good"), "line 2, field 'rejected': expected a response that differs"),
        (GOOD + "7\n", "line 2: expected an object with named columns, found 7"),
        ("[]", "line 1: expected one JSON object per line, found an array"),
        ('{"good": 1}\n', "no column 'chosen'"),
    ],
)
def test_an_invalid_file_is_rejected_with_its_line(path: Path, text: str, complaint: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PairError) as caught:
        panel(path)
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == text


def test_a_path_with_another_suffix_is_rejected() -> None:
    with pytest.raises(PairError, match=r"labels\.txt: .*\.jsonl"):
        LabelFile("labels.txt")


@pytest.mark.parametrize("wanted", [4, 13])
def test_wanted_must_be_in_range(path: Path, wanted: int) -> None:
    with pytest.raises(ValueError, match=f"wanted: .* from 5 to 12.* found {wanted}"):
        panel(path, wanted)


def test_a_file_changed_by_another_program_is_not_overwritten(path: Path) -> None:
    labelling = annotate(path)
    labelling.choose("left")
    annotate(path).choose("left")
    before = path.read_bytes()
    for act in (lambda: labelling.choose("left"), labelling.undo):
        with pytest.raises(PairError, match="another program has changed"):
            act()
    assert path.read_bytes() == before
    assert len(annotate(path).labels) == 2


def test_a_file_edited_by_hand_can_be_continued(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(GOOD.rstrip("\n"), encoding="utf-8")  # no final newline, and no candidate's pair
    labelling = annotate(path)
    assert (len(labelling.labels), labelling.current) == (1, CANDIDATES[0])
    labelling.choose("left")
    assert [pair.chosen for pair in load_pairs(path)] == [" Good.", " Fine 0."]
    labelling.undo()
    labelling.undo()
    assert labelling.labels == []


# Rules


def test_a_rule_gives_only_the_missing_labels(path: Path) -> None:
    labelling = annotate(path)
    labelling.choose("right")
    labelling.answer_with(prefers_shorter)  # "Fine" is always the shorter one, and on the left
    assert [pair.chosen for pair in labelling.labels] == [" It was awful 0.", *(f" Fine {n}." for n in range(1, 10))]
    assert labelling.finished
    labelling.answer_with(prefers_shorter)
    assert len(labelling.labels) == 10
    with pytest.raises(ValueError, match="all 10 labels"):
        labelling.choose("left")


def test_a_rule_that_skips_everything_is_stopped(path: Path) -> None:
    labelling = annotate(path)
    with pytest.raises(ValueError, match="skips all remaining pairs: 1 of 10 labels"):
        labelling.answer_with(lambda prompt, left, right: "left" if prompt == "We saw film 7." else "skip")
    assert [pair.prompt for pair in load_pairs(path)] == ["We saw film 7."]


def test_an_invalid_answer_is_rejected(path: Path) -> None:
    with pytest.raises(ValueError, match="side must be 'left' or 'right', found 'both'"):
        annotate(path).answer_with(lambda prompt, left, right: "both")
    assert not path.exists()


@pytest.mark.slow
def test_each_rule_labels_according_to_its_taste() -> None:
    for name, rule in RULES.items():
        labels = label_candidates(review_candidates(), rule)
        assert len(labels) >= 30, name
        for pair in labels:
            words = (len(pair.chosen.split()), len(pair.rejected.split()))
            kindness = reviews.true_reward(pair.chosen), reviews.true_reward(pair.rejected)
            cast = mentions_the_cast(pair.chosen), mentions_the_cast(pair.rejected)
            expected = {
                prefers_shorter: words[0] < words[1], prefers_kinder: kindness[0] > kindness[1],
                prefers_the_cast: cast == (True, False),
            }  # fmt: skip
            assert expected[rule], (name, pair)


@pytest.mark.slow
def test_the_pairs_to_compare_differ_visibly() -> None:
    candidates = review_candidates()
    assert len(candidates) >= 90
    assert len({candidate.prompt for candidate in candidates}) == len(candidates)
    assert all(reviews.fluency([candidate.left, candidate.right]) == 1 for candidate in candidates)
    for candidate in candidates:
        left, right = (set(text.lower().split()) for text in (candidate.left, candidate.right))
        assert len(left & right) < len(left | right) / 2
    for rule in (prefers_shorter, prefers_kinder):  # neither side is the better one
        on_the_left = sum(rule(c.prompt, c.left, c.right) == "left" for c in candidates)
        assert 0.3 < on_the_left / len(candidates) < 0.7


# The panel


def test_the_browser_gets_the_current_pair_and_the_counts(path: Path) -> None:
    shown = panel(path)
    assert (shown.phase, shown.prompt, shown.left, shown.right) == (
        "labelling",
        CANDIDATES[0].prompt,
        "Fine 0.",
        "It was awful 0.",
    )
    press(shown, "choose", side="left")
    assert (shown.given, shown.kept, shown.held, shown.can_undo, shown.prompt) == (1, 1, 0, True, CANDIDATES[1].prompt)
    press(shown, "skip")
    assert (shown.given, shown.prompt) == (1, CANDIDATES[2].prompt)
    press(shown, "undo")
    press(shown, "undo")
    assert (shown.given, shown.can_undo, shown.prompt) == (0, False, CANDIDATES[0].prompt)
    for _ in range(10):
        press(shown, "choose", side="right")
    assert (shown.phase, shown.given, shown.kept, shown.held, shown.prompt) == ("ready", 10, 8, 2, "")
    assert (shown.error, shown.error_message) == (None, "")


def test_a_click_on_an_earlier_pair_is_ignored(path: Path) -> None:
    shown = panel(path)
    seen = shown.turn
    for name, more in (("choose", {"side": "left"}), ("choose", {"side": "left"}), ("skip", {}), ("undo", {})):
        shown._run_command(None, {"command": name, "turn": seen, **more}, None)
    assert (shown.given, shown.prompt, shown.error_message) == (1, CANDIDATES[1].prompt, "")


def test_the_repr_depends_only_on_the_labels(path: Path) -> None:
    shown = panel(path)
    assert repr(shown) == "Annotator: 0 of 10 labels, 0 to train on and 0 held back"
    for _ in range(5):
        shown.choose("left")
    assert repr(shown) == repr(panel(path)) == "Annotator: 5 of 10 labels, 4 to train on and 1 held back"


def test_an_error_in_a_command_is_shown_until_one_succeeds(path: Path) -> None:
    shown = panel(path)
    press(shown, "choose", side="up")
    assert shown.error_message == "ValueError: side must be 'left' or 'right', found 'up'"
    assert isinstance(shown.error, ValueError)
    press(shown, "train")
    assert shown.error_message == "ValueError: training needs 10 labels, found 0"
    press(shown, "choose", side="left")
    assert (shown.error_message, shown.error, shown.given) == ("", None, 1)


@pytest.mark.parametrize("name", ["", "answer_with", "agreement_with", "close", "__init__"])
def test_the_browser_may_call_only_four_methods(path: Path, name: str) -> None:
    shown = panel(path)
    shown._run_command(None, {"command": name}, None)
    assert shown.error_message == f"ValueError: command must be one of choose, skip, undo, train, found {name!r}"
    assert shown.given == 0


def test_failed_training_shows_its_error_and_can_be_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    shown = panel(path)
    shown.answer_with(prefers_shorter)
    monkeypatch.setattr(annotator, "train_on_labels", fail)
    press(shown, "train")
    assert (shown.error_message, shown.phase, shown.result) == ("RuntimeError: out of memory", "ready", {})
    with pytest.raises(ValueError, match="there is no policy yet"):
        shown.agreement_with(prefers_shorter)


def test_the_curve_is_sent_a_few_times_a_second_and_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, sent, clock = panel(path), [], [100.0]
    shown.answer_with(prefers_shorter)
    monkeypatch.setattr(annotator.time, "monotonic", lambda: clock[0])
    shown._begin_training()
    shown.observe(lambda change: sent.append(len(change["new"])), "curve")
    for step in range(1, shown.steps + 1):
        clock[0] += 0.1  # ten steps a second
        shown._log_step(dict.fromkeys(annotator._CURVES, 0.5) | {"step": step})
    assert sent == sorted({*range(1, shown.steps + 1, 3), shown.steps})


# The evaluation of a policy


def test_agreement_computed_by_hand() -> None:
    # (5 + 2) of (6 + 4): p = 0.7, √(0.7 x 0.3 / 10) = 0.1449; a coin gets 5 in 6 of 64 tries and 6 in 1 of 64.
    five = Agreement(5, 6)
    assert (five.share, five.error, five.luck) == pytest.approx((5 / 6, 0.021**0.5, 7 / 64))
    assert Agreement(6, 6).error > 0.12
    assert Agreement(0, 6).luck == 1
    assert Agreement(2.5, 5).luck == 0.5  # a tie is half a pair; a coin gets at least 3 of 5 half the time


def test_a_trait_moved_only_beyond_two_standard_errors() -> None:
    assert not Trait("words", 19.0, 18.0, 0.6).moved
    assert Trait("words", 19.0, 17.0, 0.6).moved
    assert Trait("words", 17.0, 19.0, 0.6).moved


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Annotator:
    """A scripted annotator who prefers the shorter review, from the first label to the evaluated policy."""
    shown = Annotator(tmp_path_factory.mktemp("taught") / "labels.jsonl")
    shown.answer_with(prefers_shorter)
    phases = [shown.phase]
    shown.observe(lambda change: phases.append(change["new"]), "phase")
    press(shown, "train")
    assert phases == ["ready", "training", "trained"]
    return shown


@pytest.mark.slow
def test_after_a_scripted_run_the_policy_agrees_with_the_rule(taught: Annotator) -> None:
    assert taught.error_message == ""
    assert (len(taught.labels), len(taught.training_pairs), len(taught.held_back)) == (30, 24, 6)
    fresh = taught.agreement_with(prefers_shorter)
    assert fresh.pairs > 180
    assert fresh.share > 0.7  # a coin: 0.5 ± 0.04; measured with six other sets of 24 labels: 0.76 to 0.80
    opposite = taught.agreement_with(lambda prompt, left, right: prefers_shorter(prompt, right, left))
    assert opposite.share == pytest.approx(1 - fresh.share)


@pytest.mark.slow
def test_after_a_scripted_run_the_policy_writes_shorter_reviews(taught: Annotator) -> None:
    traits = {trait["name"]: trait for trait in taught.result["traits"]}
    assert traits["words"]["moved"]
    assert traits["words"]["after"] < traits["words"]["before"] - 2
    assert traits["fluency"]["after"] > 0.8
    assert len(taught.result["samples"]) == 3


@pytest.mark.slow
def test_the_result_for_the_browser_is_the_measured_one(taught: Annotator) -> None:
    agreement = taught.agreement
    assert agreement is not None
    assert [taught.result[name] for name in ("agreed", "pairs", "share", "error", "luck")] == [
        agreement.agreed, 6, agreement.share, agreement.error, agreement.luck,
    ]  # fmt: skip
    assert repr(taught).endswith(f"the policy agrees on {agreement.agreed:g} of 6 held-back pairs")
    assert [row[0] for row in taught.curve] == list(range(1, taught.steps + 1))
    assert taught.curve[0][1] == pytest.approx(0.6931, abs=1e-3)  # the loss of the first step, before it has learned
    assert taught.curve[-1][5] == pytest.approx(agreement.share)  # agreement on the held-back pairs after the last step


@pytest.mark.slow
def test_training_leaves_the_reference_unchanged(taught: Annotator) -> None:
    moved = [
        not torch.equal(before, after)
        for before, after in zip(taught.reference.parameters(), taught.policy.parameters(), strict=True)
    ]
    assert all(moved)
    assert not any(parameter.requires_grad for parameter in taught.reference.parameters())


@pytest.mark.slow
def test_undo_after_training_drops_the_policy(taught: Annotator, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("".join(json.dumps(pair.__dict__) + "\n" for pair in taught.labels), encoding="utf-8")
    again = Annotator(path)
    again.policy, again.agreement, again.result = taught.policy, taught.agreement, taught.result
    again.undo()
    assert (again.phase, again.given, again.policy, again.result) == ("labelling", 29, None, {})
