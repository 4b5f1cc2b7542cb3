"""Online DPO: one round is DPO on the pairs that the policy wrote, and every round asks the judge about new texts."""

import math
import random
from collections.abc import Sequence

import pytest
import torch
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import collate_pairs, split_pairs
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import compute_dpo_loss
from dpo_teach.training.online import OnlineDPOConfig, train_online_dpo, write_pairs

PROMPTS = [pair.prompt for pair in tiny_pairs()]


def likes_the_first(prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[bool]:
    return [True] * len(prompts)


def likes_length(prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[bool]:
    return [len(a) > len(b) for a, b in zip(first, second, strict=True)]


def test_one_step_of_one_round_is_a_step_of_dpo_on_the_pairs_that_the_policy_wrote() -> None:
    config = OnlineDPOConfig(beta=0.3, rounds=1, pairs=6, batch_size=6, max_new_tokens=6, seed=3)
    rng, policy, other, tokenizer = random.Random(3), tiny_model(), tiny_model(), tiny_tokenizer()
    drawn = rng.choices(PROMPTS, k=6)
    written = write_pairs(policy, tokenizer, drawn, likes_length, seed=rng.getrandbits(31), max_new_tokens=6)
    (row,) = train_online_dpo(policy, tokenizer, PROMPTS, likes_length, config)
    assert row["loss"] == pytest.approx(math.log(2))

    known = pair_logps(other, written, tokenizer.pad_token_id)
    logps = split_pairs(response_logps(other, collate_pairs(written, tokenizer.pad_token_id)))
    compute_dpo_loss(*logps, *known.unbind(dim=1), beta=0.3).backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    torch.optim.AdamW(other.parameters(), lr=2.5e-4, betas=(0.9, 0.99), weight_decay=0.0).step()  # half of the cosine
    for name, weight in other.state_dict().items():
        apart = (policy.state_dict()[name] - weight).abs() > 1e-5
        if not name.endswith("c_attn.bias"):  # the bias of the keys has a gradient of 0, and rounding decides its sign
            assert apart.float().mean() < 0.01, name


def test_the_judge_decides_which_response_is_chosen() -> None:
    policy, tokenizer = tiny_model(), tiny_tokenizer()
    first = write_pairs(policy, tokenizer, PROMPTS[:4], likes_the_first, seed=0, max_new_tokens=6)
    second = write_pairs(policy, tokenizer, PROMPTS[:4], lambda p, a, b: [False] * len(p), seed=0, max_new_tokens=6)
    assert [(a.chosen_ids, a.rejected_ids) for a in first] == [(b.rejected_ids, b.chosen_ids) for b in second]


def test_every_round_shows_the_judge_texts_of_the_current_policy() -> None:
    seen: list[tuple[str, ...]] = []

    def judge(prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[bool]:
        seen.append((*a, *b))
        return likes_length(prompts, a, b)

    config = OnlineDPOConfig(rounds=3, pairs=8, batch_size=4, learning_rate=0.05, max_new_tokens=6)
    rows = train_online_dpo(tiny_model(), tiny_tokenizer(), PROMPTS, judge, config)
    assert [len(texts) for texts in seen] == [16] * 3
    assert [(row["step"], row["labels"]) for row in rows] == [(2, 8), (4, 16), (6, 24)]
    assert rows[0]["chosen_rewards"] != rows[2]["chosen_rewards"]


@pytest.mark.parametrize(("name", "value"), [("beta", 0.0), ("rounds", 0), ("learning_rate", float("nan"))])
def test_an_invalid_setting_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, found {value}"):
        OnlineDPOConfig(**{name: value})


def test_without_prompts_there_is_nothing_to_write() -> None:
    with pytest.raises(ValueError, match="prompts is empty"):
        train_online_dpo(tiny_model(), tiny_tokenizer(), [], likes_length)
