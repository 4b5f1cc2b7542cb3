"""Checksums of the inputs of a run, which can only be resumed with the same model, data and settings."""

import hashlib
import json
from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import torch

__all__ = [
    "check_settings",
    "describe_changes",
    "fingerprint_arrays",
    "fingerprint_model",
    "fingerprint_text",
    "fingerprint_tokenizer",
]

BOOKKEEPING = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Entries of a model's configuration that do not affect its computation."""


def fingerprint_model(model: Any) -> str:
    """Return the SHA-256 of a model's configuration and weights, computed one tensor at a time.

    Raises:
        AttributeError: the model is not a `transformers` model.
    """
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in BOOKKEEPING}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def fingerprint_tokenizer(tokenizer: Any) -> str:
    """Return the SHA-256 of the rules by which a tokenizer converts text to ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = dict(tokenizer.get_vocab()) if backend is None else json.loads(backend.to_str())
    for name in ("padding", "truncation"):  # settings of the last call, not part of the rules
        rules.pop(name, None) if backend is not None else None
    ends = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return hashlib.sha256(json.dumps([rules, ends], sort_keys=True).encode()).hexdigest()


def fingerprint_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of integer arrays, including their types and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def fingerprint_text(prompt: str, response: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a prompt and a response.

    >>> fingerprint_text("2 + 2 =", " 4") == fingerprint_text("2 + 2 = ", "4")
    False
    """
    return hashlib.sha256(json.dumps([prompt, response]).encode()).hexdigest()[:16]


def check_settings(saved: dict[str, Any], current: dict[str, Any], may_change: Container[str]) -> None:
    """Refuse to resume a run with different settings.

    Args:
        saved: the settings of the original run.
        current: the current settings.
        may_change: names of settings that do not affect the results.

    Raises:
        ValueError: settings differ; the message names them.
    """
    changed = [f"{name} was {saved.get(name)!r} and is now {value!r}" for name, value in current.items()
               if name not in may_change and saved.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"this run was started with other settings: {'; '.join(changed)}; resume with the original "
                         "settings, or start a new run in another folder")  # fmt: skip


def describe_changes(saved: dict[str, str], current: dict[str, str]) -> str:
    """Describe which parts of a fingerprint differ; the result is empty if none does.

    The data is compared by its token ids, which depend on the tokenizer and the truncation. If one of these differs,
    changes of the data cannot be detected and are not reported.

    >>> describe_changes({"model": "aa", "data": "bb"}, {"model": "aa", "data": "cc"})
    'the data (different examples, or a different order)'
    """
    changed = [name for name in (*current, *(saved.keys() - current.keys())) if saved.get(name) != current.get(name)]
    if {"tokenizer", "truncation"} & set(changed):
        changed = [name for name in changed if name != "data"]
    words = {
        "model": "the model (its weights at the start of the run, or its configuration)",
        "reference": "the reference model",
        "tokenizer": "the tokenizer",
        "data": "the data (different examples, or a different order)",
        "truncation": f"the truncation (was {saved.get('truncation')}, is now {current.get('truncation')})",
    }
    return " and ".join(words[name] for name in changed)
