"""Check that weights, configuration and tokenizer match, and that log-probabilities can be computed.

Each check raises a ValueError with a one-line message that names the model. `transformers` only warns about a layer of
random weights, a dropped layer or a tokenizer of two tokens, and such a model would train without an error.
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
SAVE_TOKENIZER = "save it next to the weights with tokenizer.save_pretrained(folder)"


def check_fit(name: str, model: nn.Module, fit: dict[str, Any]) -> None:
    """Refuse weights that do not match the configuration.

    Extra heads for other tasks are ignored; extra layers are an error.

    Args:
        name: the model's name, for the message.
        model: the loaded model.
        fit: the loading information that `from_pretrained(..., output_loading_info=True)` returns.
    """
    together = "weights and config.json come from different models"
    for weight, found, expected in sorted(fit["mismatched_keys"]):
        raise ValueError(f"model {name!r}: weight {weight} has shape {tuple(found)}, but config.json expects "
                         f"{tuple(expected)}: {together}")  # fmt: skip
    wrapped = sorted(weight for weight in fit["unexpected_keys"] if weight.startswith(WRAPPER_PREFIXES))
    if wrapped:
        raise ValueError(f"model {name!r}: weight names such as {wrapped[0]} are those of a model wrapped by DDP or "
                         "torch.compile; save the inner model (.module or ._orig_mod) instead")  # fmt: skip
    if fit["missing_keys"]:
        raise ValueError(f"model {name!r}: config.json expects weights for {_some(fit['missing_keys'])}, but they are "
                         f"missing and would be random: {together}")  # fmt: skip
    own = {_without_numbers(weight) for weight in model.state_dict()}
    dropped = [weight for weight in fit["unexpected_keys"]
               if any(form.endswith(_without_numbers(weight)) for form in own)]  # fmt: skip
    if dropped:
        raise ValueError(f"model {name!r}: config.json has no layer for the weights {_some(dropped)}, which would be "
                         f"dropped: {together}")  # fmt: skip


def _some(weights: Iterable[str]) -> str:
    first, *others = sorted(weights)
    return f"{first} and {len(others)} more" if others else first


def _without_numbers(weight: str) -> str:
    """Replace the layer number in the name of a weight, so that it is the same for all layers.

    >>> _without_numbers("transformer.h.3.ln_1.bias")
    'transformer.h.#.ln_1.bias'
    """
    return re.sub(r"\b\d+\b", "#", weight)


def check_tokenizer_files(name: str, source: str, tokenizer: Any) -> None:
    """Refuse a folder without a tokenizer, for which `transformers` would make one with only special tokens."""
    files = {*tokenizer.vocab_files_names.values(), "tokenizer.json"}
    if Path(source).is_dir() and not any((Path(source) / file).exists() for file in files):
        raise ValueError(
            f"model {name!r}: no tokenizer in this folder, expected {' or '.join(sorted(files))}; {SAVE_TOKENIZER}"
        )


def check_weights(name: str, model: nn.Module) -> None:
    """Refuse weights that are NaN or infinite."""
    for parameter_name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            count = int((~torch.isfinite(parameter)).sum())
            raise ValueError(
                f"model {name!r}: expected finite weights, found NaN or infinity in {count} values of "
                f"{parameter_name}; load another checkpoint"
            )


def check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with ids that have no embedding in the model, or without an end-of-sequence token."""
    check_embeddings(f"model {name!r}", model, tokenizer)
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"model {name!r}: the tokenizer has no end-of-sequence token, so a response could not end; "
            "set tokenizer.eos_token and save the tokenizer"
        )


def check_embeddings(called: str, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with ids that have no embedding in the model."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(f"{called}: the tokenizer has {len(tokenizer)} tokens, but the model has embeddings for only "
                         f"{rows}; use the model's own tokenizer")  # fmt: skip


def check_padding(tokenizer: Any) -> None:
    """Refuse a tokenizer without a padding token, such as GPT-2's, unless `load_model` has added one."""
    if tokenizer.pad_token_id is None:
        raise ValueError("tokenizer has no padding token, which batches need; load_model adds one, or call "
                         "tokenizer.add_special_tokens({'pad_token': '<|pad|>'}) and "
                         "model.resize_token_embeddings(len(tokenizer))")  # fmt: skip


@torch.no_grad()
def check_causal(called: str, model: Any) -> None:
    """Refuse a model whose prediction at a position depends on later tokens, such as BERT.

    log P(response | prompt) is a sum over tokens only if each token is predicted from the tokens before it.
    """
    first, second = model(torch.tensor([[0, 0], [0, 1]], device=model.device)).logits[:, 0]
    if not torch.allclose(first, second, atol=TOLERANCE, rtol=TOLERANCE):
        raise ValueError(f"{called}: {type(model).__name__} is not a causal language model, because its output at a "
                         "position depends on later tokens; use a causal one, such as GPT-2")  # fmt: skip


@torch.no_grad()
def check_logits(called: str, model: Any) -> None:
    """Refuse a model whose logits differ from those that `output_layers` computes from its last hidden states.

    All log-probabilities are computed with `output_layers`. For such a model they would be silently wrong.
    """
    ids = torch.tensor([[0, 1], [1, 0]], device=model.device)
    logits = model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    try:
        states = body_of(model)(ids, attention_mask=torch.ones_like(ids), use_cache=False)[0]  # (rows, time, width)
        found = output_layers(model)(states.flatten(0, 1)).view_as(logits)
    except Exception as error:  # a model may raise any error when its forward is called in an unexpected way
        raise ValueError(f"{called}: {type(model).__name__} is not supported: {first_line(error)}") from error
    tolerance = max(TOLERANCE, 4 * torch.finfo(logits.dtype).eps)  # a reference may be in half precision
    if not torch.allclose(found, logits, atol=tolerance, rtol=tolerance):
        raise ValueError(f"{called}: {type(model).__name__} is not supported: logits computed from its hidden "
                         f"states differ from its own by up to {(found - logits).abs().max().item():.3g}")  # fmt: skip


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
