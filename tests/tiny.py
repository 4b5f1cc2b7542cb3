"""A tokenizer and a GPT-2 small enough to check by hand, and preference pairs that they learn in a second."""

import random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dpo_teach.pairs import PreferencePair

WORDS = ["<pad>", "<bos>", "<eos>", "the", "plot", "was", "good", "bad", "very", "not"]
PAD, BOS, EOS, THE, PLOT, WAS, GOOD, BAD, VERY, NOT = range(len(WORDS))


def tiny_tokenizer(*, with_bos: bool = True) -> PreTrainedTokenizerFast:
    """One id per word, in the order of WORDS; texts begin with `<bos>` unless switched off."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if with_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", padding_side="right"
    )


def tiny_model(seed: int = 0, *, context: int = 32) -> GPT2LMHeadModel:
    """Two layers of width 16, no dropout, and random weights large enough for probabilities to differ."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=context, n_embd=16, n_layer=2, n_head=2, initializer_range=0.2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def tiny_pairs(count: int = 24, seed: int = 0) -> list[PreferencePair]:
    """Pairs of different lengths in which "good" is always preferred to "bad"."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        prompt = "the plot " * rng.randint(1, 3) + "was"
        degree = "very " * rng.randint(0, 3)
        pairs.append(PreferencePair(prompt, f"{degree}good", f"not {degree}bad"))
    return pairs
