"""Checks that weights, configuration and tokenizer belong together, and that the model can be scored.

Each check raises a ValueError whose message is one line that names the model. What `transformers` loads with a warning
(a layer of random weights, one that was dropped, a tokenizer of two tokens) would otherwise train without an error.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dpo_teach.models.output import body_of, output_layers

__all__ = [
    "check_causal",
    "check_embeddings",
    "check_fit",
    "check_logits",
    "check_padding",
    "check_tokenizer_files",
    "check_vocabulary",
    "check_weights",
    "first_line",
]

WRAPPER_PREFIXES = ("module.", "_orig_mod.")
TOLERANCE = 1e-3
SAVE_TOKENIZER = "tokenizer.save_pretrained(folder) writes it beside the weights"


def check_fit(name: str, model: nn.Module, fit: dict[str, Any]) -> None:
    """Refuse weights and a configuration of different models.

    Heads for other tasks may be left over; layers may not.

    Args:
        name: the model's name, for the message.
        model: what was loaded.
        fit: the loading info that `from_pretrained(..., output_loading_info=True)` returns.
    """
    together = "weights and config.json do not belong together"
    for weight, found, expected in sorted(fit["mismatched_keys"]):
        raise ValueError(f"model {name!r}: weight {weight} has shape {tuple(found)}, but config.json expects "
                         f"{tuple(expected)}: {together}")  # fmt: skip
    wrapped = sorted(weight for weight in fit["unexpected_keys"] if weight.startswith(WRAPPER_PREFIXES))
    if wrapped:
        raise ValueError(f"model {name!r}: its weights are named {wrapped[0]} and so on, like those of a model that "
                         "DDP or torch.compile has wrapped: save the model inside, .module or ._orig_mod")  # fmt: skip
    if fit["missing_keys"]:
        raise ValueError(f"model {name!r}: weights missing for {_some(fit['missing_keys'])}, which config.json expects "
                         f"and which would be random: {together}")  # fmt: skip
    own = {_without_numbers(weight) for weight in model.state_dict()}
    dropped = [weight for weight in fit["unexpected_keys"]
               if any(form.endswith(_without_numbers(weight)) for form in own)]  # fmt: skip
    if dropped:
        raise ValueError(f"model {name!r}: its weights have {_some(dropped)}, for which config.json has no layer and "
                         f"which would be dropped: {together}")  # fmt: skip


def _some(weights: Iterable[str]) -> str:
    first, *others = sorted(weights)
    return f"{first} and {len(others)} more" if others else first


def _without_numbers(weight: str) -> str:
    """A weight's name with the layer number replaced, equal for all layers.

    >>> _without_numbers("transformer.h.3.ln_1.bias")
    'transformer.h.#.ln_1.bias'
    """
    return re.sub(r"\b\d+\b", "#", weight)


def check_tokenizer_files(name: str, source: str, tokenizer: Any) -> None:
    """Refuse a folder without a tokenizer: `transformers` would make one that has its special tokens only."""
    files = {*tokenizer.vocab_files_names.values(), "tokenizer.json"}
    if Path(source).is_dir() and not any((Path(source) / file).exists() for file in files):
        raise ValueError(
            f"model {name!r}: no tokenizer in this folder ({' or '.join(sorted(files))}): {SAVE_TOKENIZER}"
        )


def check_weights(name: str, model: nn.Module) -> None:
    """Refuse weights that are NaN or infinite."""
    for parameter_name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            count = int((~torch.isfinite(parameter)).sum())
            raise ValueError(
                f"model {name!r}: {count} values of weight {parameter_name} are not finite (NaN or infinity)"
            )


def check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with ids that the model has no embedding for, or without a token to end a response with."""
    check_embeddings(f"model {name!r}", model, tokenizer)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"model {name!r}: its tokenizer has no end-of-sequence token, so a response could not end")


def check_embeddings(called: str, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with ids that the model has no embedding for."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(f"{called}: the tokenizer knows {len(tokenizer)} tokens, but the model has embeddings for "
                         f"{rows}: they do not belong together")  # fmt: skip


def check_padding(tokenizer: Any) -> None:
    """Refuse a tokenizer without a padding token, such as GPT-2's own before `load_model` has added one."""
    if tokenizer.pad_token_id is None:
        raise ValueError("tokenizer has no padding token, and a batch needs one: load_model gives it one, as do "
                         "tokenizer.add_special_tokens({'pad_token': '<|pad|>'}) and a larger embedding")  # fmt: skip


@torch.no_grad()
def check_causal(called: str, model: Any) -> None:
    """Refuse a model whose prediction at a position depends on later tokens, such as BERT.

    log P(response given prompt) is a product over tokens only where each is predicted from those before it.
    """
    first, second = model(torch.tensor([[0, 0], [0, 1]], device=model.device)).logits[:, 0]
    if not torch.allclose(first, second, atol=TOLERANCE, rtol=TOLERANCE):
        raise ValueError(f"{called}: {type(model).__name__} is not a causal language model: its output at a "
                         "position depends on later tokens")  # fmt: skip


@torch.no_grad()
def check_logits(called: str, model: Any) -> None:
    """Refuse a model whose logits are not what `output_layers` makes of the last hidden states of its body.

    All log-probabilities are computed that way, and would be wrong without an error.
    """
    ids = torch.tensor([[0, 1], [1, 0]], device=model.device)
    logits = model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    try:
        states = body_of(model)(ids, attention_mask=torch.ones_like(ids), use_cache=False)[0]  # (rows, time, width)
        found = output_layers(model)(states.flatten(0, 1)).view_as(logits)
    except Exception as error:  # a model may raise anything where its own forward is not called as it expects
        raise ValueError(f"{called}: {type(model).__name__} is not supported: {first_line(error)}") from error
    tolerance = max(TOLERANCE, 4 * torch.finfo(logits.dtype).eps)  # a reference may be in half precision
    if not torch.allclose(found, logits, atol=tolerance, rtol=tolerance):
        raise ValueError(f"{called}: {type(model).__name__} is not supported: logits computed from its hidden "
                         f"states differ from its own by up to {(found - logits).abs().max().item():.3g}")  # fmt: skip


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
