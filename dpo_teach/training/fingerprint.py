"""What a run was started on, as checksums: a run that goes on must go on with the same."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

__all__ = ["describe_changes", "fingerprint_arrays", "fingerprint_model", "fingerprint_tokenizer"]

BOOKKEEPING = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Entries of a model's configuration that change nothing of what it computes."""


def fingerprint_model(model: Any) -> str:
    """The SHA-256 of a model's configuration and of its weights, bit by bit; each is read once, none is copied whole.

    Raises:
        AttributeError: it is not a `transformers` model.
    """
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in BOOKKEEPING}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def fingerprint_tokenizer(tokenizer: Any) -> str:
    """The SHA-256 of how a tokenizer turns text into ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = dict(tokenizer.get_vocab()) if backend is None else json.loads(backend.to_str())
    for name in ("padding", "truncation"):  # left over from the last call, and no part of the rules
        rules.pop(name, None) if backend is not None else None
    ends = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return hashlib.sha256(json.dumps([rules, ends], sort_keys=True).encode()).hexdigest()


def fingerprint_arrays(arrays: Iterable[np.ndarray]) -> str:
    """The SHA-256 of arrays of whole numbers, one after the other, each with its type and size."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def describe_changes(saved: dict[str, str], now: dict[str, str]) -> str:
    """Which part of a fingerprint differs, in words; empty if none does.

    Token ids come from the data by the tokenizer and the truncation. Where one of those two differs, nothing can be
    said of the data.

    >>> describe_changes({"model": "aa", "data": "bb"}, {"model": "aa", "data": "cc"})
    'the data (other examples, or in another order)'
    """
    changed = [name for name in (*now, *(saved.keys() - now.keys())) if saved.get(name) != now.get(name)]
    if {"tokenizer", "truncation"} & set(changed):
        changed = [name for name in changed if name != "data"]
    words = {
        "model": "the model (its weights at the start of the run, or its configuration)",
        "reference": "the reference model",
        "tokenizer": "the tokenizer",
        "data": "the data (other examples, or in another order)",
        "truncation": f"the truncation (it was {saved.get('truncation')}, and is {now.get('truncation')})",
    }
    return " and ".join(words[name] for name in changed)
