"""The widgets that need a model, operated in a real JupyterLab and compared with the kernel."""

import json

from lab import Lab, run_cell
from pages import assert_shown, drag
from playwright.sync_api import Locator, Page, expect

# The variables that the notebook has defined at that cell, loaded in seconds instead of trained.
BEFORE_03 = """
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs
start, tokenizer = load_model("reviews-gpt2")
trained = load_model("reviews-gpt2-dpo").model
"""
BEFORE_04 = """
from pathlib import Path
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.worlds.reviews import true_reward
reference, tokenizer = load_model("reviews-gpt2")
policy = load_model("reviews-gpt2-dpo").model
prompts = [pair.prompt for pair in load_pairs("reviews-preferences", split="test")]
"""


def show(lab: Lab, page: Page, notebook: str, before: str, cell: str) -> Locator:
    """Open a notebook, run setup code and a cell, and return the widget that the cell shows."""
    lab.open(page, notebook)
    lab.ask_kernel(before)
    root = run_cell(page, notebook, cell).locator(".dpo-teach")
    expect(root).to_be_visible(timeout=30_000)
    return root


def value(root: Locator, name: str) -> Locator:
    return root.locator(f'[data-value="{name}"]')


def test_token_rewards_in_notebook_03(lab: Lab, learner: Page) -> None:
    root = show(lab, learner, "03_loss_and_gradients.ipynb", BEFORE_03, "token-rewards-live")

    def check() -> str:
        state = json.loads(
            lab.ask_kernel(
                "import json\nprint(json.dumps({'margin': _.margin, 'probability': _.probability, 'pair': _.pair,"
                " **{name: found.sum().item() for name, found in _.rewards.items()}}))"
            )
        )
        expect(root.locator('[data-name="pair"] input.dt-box')).to_have_value(str(state["pair"]))
        for name in ("chosen", "rejected", "margin", "probability"):
            assert_shown(value(root, name).inner_text(), state[name], name)
        return value(root, "prompt").inner_text()

    seen = {check()}
    pair = root.locator('[data-name="pair"] input[type=range]')
    pair.focus()
    learner.keyboard.press("ArrowRight")
    expect(value(root, "prompt")).not_to_have_text(next(iter(seen)))
    learner.wait_for_timeout(300)
    seen.add(check())
    drag(learner, pair, 0.9)
    learner.wait_for_timeout(500)
    seen.add(check())
    root.locator('[data-name="next"]').click()
    learner.wait_for_timeout(500)
    seen.add(check())
    assert len(seen) == 4
    margin = value(root, "margin").inner_text()
    root.locator('[data-name="beta"] input[type=range]').focus()
    learner.keyboard.press("End")
    assert value(root, "margin").inner_text() != margin
    check()
    root.locator('[data-name="view"] select').select_option(index=1)
    check()
    assert lab.ask_kernel("print(_.error_message)") == ""


def test_before_and_after_in_notebook_04(lab: Lab, learner: Page) -> None:
    root = show(lab, learner, "04_training.ipynb", BEFORE_04, "before-after-live")

    def check() -> list[str]:
        state = json.loads(
            lab.ask_kernel("import json\nprint(json.dumps([_.prompt, _.seed, _.count, _.log_ratios, _.judged]))")
        )
        prompt, _, count, log_ratios, judged = state
        for name in ("reference", "policy"):
            for i in range(count):
                assert_shown(value(root, f"{name}-{i}").inner_text(), log_ratios[name][i], f"{name} {i}")
                assert_shown(value(root, f"{name}-{i}-judged").inner_text(), judged[name][i], f"judge of {name} {i}")
        return [prompt, *map(str, log_ratios["policy"])]

    first = check()
    field = root.locator('textarea[data-name="prompt"]')
    field.fill("My sister dragged us to Glass River.")
    field.press("Enter")
    expect(value(root, "prompt")).to_contain_text("Glass River", timeout=20_000)
    learner.wait_for_timeout(500)
    second = check()
    assert second[0] == "My sister dragged us to Glass River."
    assert first[1:] != second[1:]
    root.locator('[data-name="next-seed"]').focus()
    learner.keyboard.press("Enter")
    learner.wait_for_timeout(4000)
    assert check()[1:] != second[1:]
    field.fill("")
    root.locator('[data-name="write"]').click()
    expect(value(root, "note")).not_to_be_empty()
    assert lab.ask_kernel("print(_.error_message, _.prompt)") == "My sister dragged us to Glass River."


def test_be_the_annotator_from_labels_to_trained_policy(lab: Lab, learner: Page) -> None:
    root = show(lab, learner, "04_training.ipynb", BEFORE_04, "annotate-by-hand")

    def lengths() -> tuple[int, int]:
        return tuple(len(value(root, side).inner_text()) for side in ("left", "right"))  # type: ignore[return-value]

    def given(count: int) -> None:
        expect(value(root, "given")).to_have_text(f"{count} of 30", timeout=10_000)

    given(0)
    root.locator('[data-name="left"]').click()  # by pointer
    given(1)
    learner.keyboard.press("u")  # undo
    given(0)
    skipped = value(root, "left").inner_text()
    learner.keyboard.press("ArrowDown")
    expect(value(root, "left")).not_to_have_text(skipped)  # wait, because answers to the previous pair are ignored
    given(0)
    for count in range(30):
        left, right = lengths()
        learner.keyboard.press("ArrowLeft" if left <= right else "ArrowRight")
        given(count + 1)
    train = root.locator('[data-name="train"]')
    expect(train).to_be_enabled()
    train.focus()
    learner.keyboard.press("Enter")
    headline = root.locator(".dt-headline")
    expect(headline).to_contain_text("agrees with you on", timeout=90_000)
    state = json.loads(
        lab.ask_kernel(
            "import json\nfrom dpo_teach.pairs import load_pairs\n"
            "on_disk = load_pairs(Path('runs') / 'my_labels.jsonl')\n"
            "print(json.dumps([len(on_disk), len(_.training_pairs), len(_.held_back), _.agreement.agreed,"
            " len(_.curve), _.error_message]))"
        )
    )
    assert state[:3] == [30, 24, 6]
    assert f"{state[3]:g} of 6" in headline.inner_text()
    assert state[4] > 5  # the curve has a point for each evaluated step
    assert state[5] == ""
    assert len(value(root, "before-0").inner_text()) > 10
    assert len(value(root, "after-0").inner_text()) > 10
