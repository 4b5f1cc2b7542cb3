"""TokenRewards and BeforeAfter show the numbers of the package, for any tokenizer, and report errors."""

import copy
import json
import math
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import torch
import traitlets
from test_contrast import THEMES, colours, contrast
from tiny import tiny_model, tiny_pairs, tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dpo_teach.batches import collate, tokenize_pair
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import compute_implicit_reward, margin
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair, load_pairs
from dpo_teach.sampling import sample_responses
from dpo_teach.widgets import BeforeAfter, LossExplorer, TokenRewards
from dpo_teach.widgets.token_scores import lost_characters, token_texts
from dpo_teach.worlds.reviews import true_reward
from tools.playground import explorer_state

OPENING = "On Friday our film club saw The Salt Orchard."
EMOJI = "\N{CLAPPER BOARD}"  # four bytes


@pytest.fixture(scope="module")
def reviews() -> tuple[Any, Any, Any]:
    """The bundled policy, its reference and their tokenizer."""
    policy, tokenizer = load_model("reviews-gpt2-dpo")
    return policy, load_model("reviews-gpt2").model, tokenizer


@pytest.fixture(scope="module")
def held_out() -> list[PreferencePair]:
    return load_pairs("reviews-preferences", split="test")[:12]


def byte_tokenizer(alphabet: list[str] | None = None) -> PreTrainedTokenizerFast:
    """GPT-2's tokenizer without its merges: each byte is a token, and one token is start, end and padding."""
    alphabet = alphabet or sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end)


def byte_model(seed: int, *, dropout: float = 0.0, context: int = 64) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=257, n_positions=context, n_embd=16, n_layer=1, n_head=2, initializer_range=0.3,
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def calls_of(model: Any) -> list[int]:
    """A list that gets one element for every forward pass of the model."""
    calls: list[int] = []
    model.base_model.register_forward_hook(lambda *_: calls.append(1))
    return calls


def move_in_browser(widget: Any, **values: Any) -> None:
    widget.set_state(values)


def send(widget: Any, **content: Any) -> None:
    widget._run_command(widget, content, [])


# Token texts


def test_the_texts_of_the_tokens_join_to_the_whole_text() -> None:
    tokenizer = byte_tokenizer()
    text = f" A {EMOJI}\n\nna\N{LATIN SMALL LETTER I WITH DIAERESIS}ve\t<b>"
    texts = token_texts([], [*tokenizer(text)["input_ids"], 0], tokenizer)
    assert "".join(texts) == text + "<|endoftext|>"
    assert texts[:7] == [" ", "A", " ", "", "", "", EMOJI]  # at the token that completes it
    assert texts[7:9] == ["\n", "\n"]


def test_invalid_bytes_are_replaced_and_the_text_after_them_is_kept() -> None:
    tokenizer = byte_tokenizer()
    film = tokenizer(EMOJI)["input_ids"]
    assert token_texts([], film[:2], tokenizer) == ["", "\ufffd"]  # truncated within a character
    assert "".join(token_texts([], [film[1]] * 6 + tokenizer("ok")["input_ids"], tokenizer)).endswith("ok")


def test_words_keep_the_space_before_them() -> None:
    tokenizer = tiny_tokenizer()
    assert token_texts([3], [4, 6, 2], tokenizer) == [" plot", " good", " <eos>"]


def test_characters_outside_the_alphabet_are_lost() -> None:
    assert lost_characters(f"All of it, {EMOJI} and \N{GREEK SMALL LETTER BETA}.", byte_tokenizer()) == []
    letters = byte_tokenizer([*map(chr, range(97, 123)), "\u0120"])  # a to z, and the space
    assert lost_characters("a Zebra, A zoo", letters) == ["Z", ",", "A"]
    halved = byte_tokenizer(sorted(pre_tokenizers.ByteLevel.alphabet())[:-40])  # without the bytes that begin some
    lost = lost_characters(f"x {EMOJI} y", halved)
    assert lost == [EMOJI]
    unknown = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0, "good": 1}, unk_token="<unk>")), unk_token="<unk>"
    )
    assert lost_characters("good", unknown) == []
    assert lost_characters("bad", unknown) == ["b", "a", "d"]


def test_lost_case_and_accents_do_not_count() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    assert lost_characters("Caf\N{LATIN SMALL LETTER E WITH ACUTE} A", tokenizer) == []


def test_special_tokens_in_a_prompt_are_not_lost() -> None:
    assert lost_characters("x<|endoftext|>", byte_tokenizer()) == []


# TokenRewards


@pytest.mark.slow
def test_the_shares_sum_to_the_implicit_rewards(reviews: tuple[Any, Any, Any], held_out: list[PreferencePair]) -> None:
    policy, reference, tokenizer = reviews
    panel = TokenRewards(*reviews, held_out, beta=0.3)
    for number in (1, 7, 12):
        panel.pair = number
        ids = tokenize_pair(held_out[number - 1], tokenizer, max_length=512)
        whole, start = (pair_logps(m, [ids], tokenizer.pad_token_id) for m in (policy, reference))
        expected = compute_implicit_reward(whole[0], start[0], 0.3)
        assert [panel.totals["chosen"], panel.totals["rejected"]] == pytest.approx(expected.tolist(), abs=1e-4)
        m = margin(whole[:, 0], whole[:, 1], start[:, 0], start[:, 1], 0.3).item()
        assert panel.margin == pytest.approx(m, abs=1e-4)
        assert panel.probability == pytest.approx(1 / (1 + math.exp(-m)), abs=1e-4)
        assert len(panel.rewards["chosen"]) == len(ids.chosen_ids)
        assert "".join(panel.responses["rejected"].texts) == held_out[number - 1].rejected + "<|eos|>"
        assert panel.responses["rejected"].special == (False,) * (len(ids.rejected_ids) - 1) + (True,)


def test_if_the_policy_is_the_reference_every_share_is_0(
    reviews: tuple[Any, Any, Any], held_out: list[PreferencePair]
) -> None:
    reference, tokenizer = reviews[1:]
    panel = TokenRewards(copy.deepcopy(reference), reference, tokenizer, held_out)
    assert all((rewards == 0).all() for rewards in panel.rewards.values())
    assert panel.margin == 0
    assert panel.probability == 0.5
    assert "margin +0.0" in repr(panel)


def test_changing_beta_needs_no_forward_pass() -> None:
    policy, reference = tiny_model(0), tiny_model(1)
    panel = TokenRewards(policy, reference, tiny_tokenizer(), tiny_pairs(3), beta=0.5)
    before, shown, calls = panel.rewards, panel.shown, calls_of(policy)
    panel.beta = 1.0
    assert torch.equal(panel.rewards["chosen"], 2 * before["chosen"])
    assert panel.shown == shown  # beta is multiplied in the browser
    assert calls == []


def test_a_pair_is_computed_when_shown_and_only_once() -> None:
    policy, reference = tiny_model(0), tiny_model(1)
    calls = calls_of(policy)
    panel = TokenRewards(policy, reference, tiny_tokenizer(), tiny_pairs(24))
    assert len(calls) == 1
    for number in (2, 1, 2, 24, 1):
        move_in_browser(panel, pair=number)
        assert panel.shown["number"] == number
    assert len(calls) == 3


def test_the_strongest_tokens_come_first() -> None:
    panel = TokenRewards(tiny_model(0), tiny_model(1), tiny_tokenizer(), tiny_pairs(8), pair=5)
    for name, strongest in panel.strongest(2).items():
        sizes = panel.rewards[name].abs().sort(descending=True).values
        assert [abs(reward) for _, reward in strongest] == pytest.approx(sizes[:2].tolist())
        assert all(text in panel.responses[name].texts for text, _ in strongest)


def test_a_byte_level_gpt_2_shows_emoji_and_the_end_token() -> None:
    pair = PreferencePair(f"Film {EMOJI}:", f" great {EMOJI}!\n", " bad")
    tokenizer = byte_tokenizer()
    panel = TokenRewards(byte_model(0), byte_model(1), tokenizer, [pair])
    texts = panel.shown["chosen"]["texts"]
    assert "".join(texts) == pair.chosen + "<|endoftext|>"
    assert texts.count("") == 3
    assert panel.shown["chosen"]["special"][-1]
    assert len(texts) == len(panel.rewards["chosen"])
    json.dumps(explorer_state(panel), allow_nan=False)


def test_dropout_is_temporarily_off() -> None:
    policy = byte_model(0, dropout=0.5).train()
    pair = PreferencePair("Film:", " great", " bad")
    first, second = (TokenRewards(policy, byte_model(1), byte_tokenizer(), [pair]).shown for _ in range(2))
    assert first == second
    assert policy.training


def test_a_pair_that_does_not_fit_gets_a_note() -> None:
    pairs = [PreferencePair("x" * 80, " good", " bad"), PreferencePair("Film:", " good", " bad")]
    panel = TokenRewards(byte_model(0), byte_model(1), byte_tokenizer(), pairs)
    assert "80 tokens" in panel.note
    assert "64" in panel.note
    assert "chosen" not in panel.shown
    assert panel.note in repr(panel)
    with pytest.raises(ValueError, match="80 tokens"):
        _ = panel.rewards
    move_in_browser(panel, pair=2)
    assert panel.note == ""
    assert len(panel.shown["chosen"]["texts"]) == 6
    truncated = TokenRewards(byte_model(0), byte_model(1), byte_tokenizer(), pairs, max_prompt_length=20)
    assert truncated.note == ""


def test_the_errors_for_invalid_settings_name_them() -> None:
    given = (tiny_model(0), tiny_model(1), tiny_tokenizer())
    panel = TokenRewards(*given, tiny_pairs(3))
    with pytest.raises(traitlets.TraitError, match="pair must be between 1 and 3, found 4"):
        panel.pair = 4
    with pytest.raises(traitlets.TraitError, match=r"beta must be between 0\.001 and 10, found 0"):
        panel.set(beta=0.0)
    with pytest.raises(traitlets.TraitError, match="each token"):
        panel.view = "every token"
    with pytest.raises(AttributeError, match="no setting 'gamma'; it has pair, beta, view"):
        panel.set(gamma=1.0)
    with pytest.raises(ValueError, match="pairs is empty"):
        TokenRewards(*given, [])
    assert (panel.pair, panel.shown["number"]) == (1, 1)


def test_an_error_after_a_move_is_shown_until_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = TokenRewards(tiny_model(0), tiny_model(1), tiny_tokenizer(), tiny_pairs(5))
    with monkeypatch.context() as patch:
        patch.setattr("dpo_teach.widgets.token_rewards.score_responses", broken)
        move_in_browser(panel, pair=2)
        assert panel.error_message == "RuntimeError: out of memory"
        with pytest.raises(RuntimeError, match="out of memory"):  # from code it is raised
            panel.pair = 3
    move_in_browser(panel, pair=4)
    assert panel.error_message == ""
    assert panel.shown["number"] == 4


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("out of memory")


def test_the_error_for_nan_weights_names_the_model() -> None:
    policy = tiny_model(0)
    with torch.no_grad():
        policy.transformer.wte.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="policy: a log-probability is not finite"):
        TokenRewards(policy, tiny_model(1), tiny_tokenizer(), tiny_pairs(1))


# BeforeAfter


@pytest.fixture
def panel(reviews: tuple[Any, Any, Any]) -> BeforeAfter:
    return BeforeAfter(*reviews, prompt=OPENING, count=2, seed=1, judge=true_reward)


@pytest.mark.slow
def test_the_texts_and_their_numbers_are_those_of_the_package(
    panel: BeforeAfter, reviews: tuple[Any, Any, Any]
) -> None:
    policy, reference, tokenizer = reviews
    prompt_ids = tokenizer(OPENING)["input_ids"]
    for name, model in (("reference", reference), ("policy", policy)):
        texts = sample_responses(model, tokenizer, [OPENING] * 2, seed=1)
        assert panel.texts[name] == texts
        assert panel.judged[name] == [true_reward(text) for text in texts]
        rows = [(prompt_ids, [*tokenizer(text, add_special_tokens=False)["input_ids"], 1]) for text in texts]
        batch = collate(rows, tokenizer.pad_token_id)
        with torch.no_grad():
            expected = response_logps(policy, batch) - response_logps(reference, batch)
        assert panel.log_ratios[name] == pytest.approx(expected.tolist(), abs=1e-3)
        shown = panel.shown["texts"][name]
        sums = [sum(text["policy"]) - sum(text["reference"]) for text in shown]
        assert sums == pytest.approx(panel.log_ratios[name])
        assert ["".join(text["texts"]) for text in shown] == [text + "<|eos|>" for text in texts]
        assert all(text["ended"] for text in shown)
    assert panel.judge_name == "true reward"
    json.dumps(explorer_state(panel), allow_nan=False)


def test_the_same_model_writes_the_same_texts(reviews: tuple[Any, Any, Any]) -> None:
    reference, tokenizer = reviews[1:]
    panel = BeforeAfter(copy.deepcopy(reference), reference, tokenizer, prompt=OPENING)
    assert panel.texts["policy"] == panel.texts["reference"]
    assert len(set(panel.texts["policy"])) > 1
    assert set(panel.log_ratios["policy"] + panel.log_ratios["reference"]) == {0.0}
    assert all(set(tokens.log_ratios) == {0.0} for tokens in panel.tokens["policy"])


@pytest.mark.slow
def test_the_seed_determines_the_texts(panel: BeforeAfter) -> None:
    before, description = panel.shown, repr(panel)
    panel.seed = 2
    assert panel.shown["texts"] != before["texts"]
    panel.set(seed=1)
    assert panel.shown == before
    assert repr(panel) == description
    assert f"after {OPENING!r}, seed 1" in description


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("", "The prompt is empty: enter the beginning of a text."),
        (" \n", "The prompt is empty: enter the beginning of a text."),
        ("x" * 64, "The prompt has 64 tokens, and the context of the models is 64: shorten it to at most 63."),
    ],
)
def test_an_invalid_prompt_gets_a_note_and_changes_nothing(prompt: str, line: str) -> None:
    panel = BeforeAfter(byte_model(0), byte_model(1), byte_tokenizer(), prompt="Film:")
    before = panel.shown
    writing: list[bool] = []
    panel.observe(lambda change: writing.append(change["new"]), "writing")
    send(panel, command="write", prompt=prompt, seed=5, count=4)
    assert (panel.note, panel.error_message) == (line, "")
    assert writing == [True, False]  # the browser waits for this
    assert (panel.prompt, panel.seed, panel.shown) == ("Film:", 0, before)
    with pytest.raises(traitlets.TraitError, match=re.escape(line)):
        panel.prompt = prompt
    send(panel, command="write", prompt="Film", seed=5, count=4)
    assert (panel.note, panel.prompt, panel.shown["seed"], len(panel.texts["policy"])) == ("", "Film", 5, 4)


def test_the_note_lists_the_characters_that_the_tokenizer_cannot_read() -> None:
    letters = byte_tokenizer([*map(chr, range(97, 123)), "\u0120"])
    panel = BeforeAfter(byte_model(0), byte_model(1), letters)
    send(panel, command="write", prompt="What? No.", seed=0, count=2)
    assert panel.note.endswith("cannot read: W ? N .")
    assert panel.shown == {}


def test_a_long_prompt_gets_short_texts() -> None:
    panel = BeforeAfter(byte_model(0), byte_model(1), byte_tokenizer(), prompt="x" * 61)
    texts = [text for name in ("reference", "policy") for text in panel.shown["texts"][name]]
    assert max(len(text["texts"]) for text in texts) == 3
    assert all(text["ended"] == text["special"][-1] for text in texts)
    assert not all(text["ended"] for text in texts)


@pytest.mark.slow
def test_nothing_is_written_before_there_is_a_prompt(reviews: tuple[Any, Any, Any]) -> None:
    panel = BeforeAfter(*reviews)
    assert panel.texts == {"reference": [], "policy": []}
    assert panel.log_ratios == panel.judged == panel.texts
    assert repr(panel) == "BeforeAfter: no prompt yet"
    panel.prompt = OPENING
    assert len(panel.texts["policy"]) == 3
    assert panel.judged == {"reference": [], "policy": []}


@pytest.mark.slow
def test_the_first_suggestion_is_the_first_prompt(reviews: tuple[Any, Any, Any]) -> None:
    panel = BeforeAfter(*reviews, suggestions=[OPENING, "Last night we saw The Paper Lighthouse."], count=2)
    assert panel.prompt == OPENING == panel.shown["prompt"]


@pytest.mark.slow
def test_setting_several_values_at_once_writes_once(panel: BeforeAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    write = panel._write
    monkeypatch.setattr(panel, "_write", lambda: (calls.append(1), write()))
    panel.set(seed=8, count=3, prompt="Last night we saw The Paper Lighthouse.")
    assert len(calls) == 1
    send(panel, command="write", prompt=panel.prompt, seed=9, count=3)
    assert len(calls) == 2
    send(panel, command="write", prompt=panel.prompt, seed=9, count=3)  # the policy may have been trained further
    assert len(calls) == 3
    assert panel.shown["seed"] == 9


@pytest.mark.slow
def test_an_error_while_writing_is_shown_and_the_texts_stay(panel: BeforeAfter) -> None:
    before = panel.shown
    panel.judge, judge = broken, panel.judge
    send(panel, command="write", prompt=OPENING, seed=4, count=2)
    assert (panel.error_message, panel.writing) == ("RuntimeError: out of memory", False)
    assert panel.shown == before
    panel.judge = lambda _: math.nan
    send(panel, command="write", prompt=OPENING, seed=4, count=2)
    assert panel.error_message.startswith("ValueError: judge: expected a finite number")
    panel.judge = judge
    send(panel, command="write", prompt=OPENING, seed=4, count=2)
    assert panel.error_message == ""
    assert panel.shown["seed"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["_write", "set", "", None])
def test_unknown_commands_are_rejected(panel: BeforeAfter, name: str | None) -> None:
    before = panel.shown
    send(panel, command=name, prompt=OPENING, seed=3, count=2)
    assert panel.error_message == f"ValueError: command must be one of write, found {name!r}"
    assert panel.shown == before


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value", "least", "most"), [("seed", -1, 0, 9999), ("count", 7, 2, 6)])
def test_seed_and_count_have_bounds(panel: BeforeAfter, name: str, value: int, least: int, most: int) -> None:
    with pytest.raises(traitlets.TraitError, match=f"{name} must be between {least} and {most}, found {value}"):
        panel.set(**{name: value})
    send(panel, **{"command": "write", "prompt": OPENING, "seed": 1, "count": 2, name: value})
    assert f"{name} must be between {least} and {most}" in panel.error_message


# Both


@pytest.fixture(params=["TokenRewards", "BeforeAfter"])
def pair_of_panels(request: pytest.FixtureRequest, reviews: tuple[Any, Any, Any],
                   held_out: list[PreferencePair]) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    if request.param == "TokenRewards":
        yield TokenRewards(*reviews, held_out, pair=10), TokenRewards(*reviews, held_out, pair=10)
    else:
        yield BeforeAfter(*reviews, prompt=OPENING), BeforeAfter(*reviews, prompt=OPENING)


@pytest.mark.slow
def test_equal_settings_give_equal_reprs_and_states(pair_of_panels: tuple[Any, Any]) -> None:
    one, other = pair_of_panels
    assert repr(one) == repr(other)
    assert "\n" not in repr(one)
    assert "0x" not in repr(one)
    assert explorer_state(one) == explorer_state(other)
    assert one._repr_mimebundle_()[0]["text/plain"] == repr(one)


def test_only_widgets_with_tokens_load_the_token_stylesheet() -> None:
    assert ".dt-token " in str(TokenRewards._css)
    assert ".dt-token " in str(BeforeAfter._css)
    assert ".dt-token " not in str(LossExplorer._css)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tint", ["dt-chosen", "dt-rejected"])
def test_text_has_enough_contrast_on_every_token_colour(theme: str, tint: str) -> None:
    found = colours(theme)
    text = (files("dpo_teach.widgets") / "js" / "tokens.js").read_text(encoding="utf-8")
    deepest = int(re.findall(r"const DEEPEST = (\d+);", text)[0])
    for percent in range(deepest + 1):
        assert contrast(found["ink"], mixed(found[tint], found["background"], percent / 100)) >= 4.5, percent
    assert contrast(found[tint], found["background"]) >= 3  # the line that shows the sign


def mixed(one: str, other: str, share: float) -> str:
    """`color-mix(in srgb, one share, transparent)` on a background of the other colour."""
    parts = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (one, other)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in zip(*parts, strict=True))
