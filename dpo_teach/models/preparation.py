"""Prepare a model for training: no dropout, a fused activation, a frozen reference, and a length limit."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from torch import nn

__all__ = [
    "compiled_layers",
    "context_length",
    "fitting_length",
    "freeze_reference",
    "fuse_gelu",
    "known_context",
    "switch_dropout_off",
    "takes_packed",
]

CONTEXT_FIELDS = ("max_position_embeddings", "max_seq_len", "seq_length")


def freeze_reference(policy: nn.Module) -> Any:
    """Return a frozen copy of a policy as its reference, in eval mode and without gradients.

    The reference is the policy before training (Rafailov et al. 2023, section 4). It must be a copy: if it were the
    policy itself, both would change together and the loss would stay at ln 2.
    """
    reference = copy.deepcopy(policy)
    reference.requires_grad_(False)
    return reference.eval()


def switch_dropout_off(model: Any) -> Any:
    """Set every dropout probability to 0, in the modules and in the configuration.

    GPT-2's configuration has three dropout probabilities of 0.1. With dropout, policy and reference would differ at the
    first step, and the log-ratios would be mostly noise.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout"):
        if isinstance(getattr(model.config, name, None), float):
            setattr(model.config, name, 0.0)
    return model


def fuse_gelu(model: Any) -> Any:
    """Compute GPT-2's activation `gelu_new` as one operation instead of eight.

    Both compute the same function, 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) of Hendrycks and Gimpel 2016
    (arXiv:1606.08415). PyTorch provides it as `gelu(approximate="tanh")`, which also saves memory, because it stores
    fewer intermediate results. The model's configuration does not change.
    """
    from transformers.activations import GELUTanh, NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())
    return model


@contextlib.contextmanager
def compiled_layers(model: nn.Module, *, on: bool = True) -> Iterator[None]:
    """Compile the layers of a model with `torch.compile` until the end of the block.

    The layers of a transformer have the same structure, so one is compiled and all use the result. This takes a
    fraction of the time of compiling the whole model. Shapes are dynamic, because they differ from batch to batch.
    """
    layers = [layer for module in model.modules() if on and isinstance(module, nn.ModuleList) for layer in module]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None  # PyTorch has no public way to undo Module.compile


def context_length(model: Any) -> int:
    """Return the maximum sequence length of a model, in tokens.

    Raises:
        ValueError: the model's configuration does not specify it.
    """
    found = known_context(model)
    if found is None:
        raise ValueError(f"model: the configuration of this {type(model).__name__} has no context length, expected one "
                         f"of {', '.join(CONTEXT_FIELDS)}; add it to config.json")  # fmt: skip
    return found


def known_context(model: Any) -> int | None:
    """Return the maximum sequence length, in tokens, or None if the configuration does not specify it."""
    lengths = (getattr(model.config, name, None) for name in CONTEXT_FIELDS)
    return next((int(length) for length in lengths if length is not None), None)


def fitting_length(max_length: int | None, *models: Any) -> int:
    """Return the limit on tokens of prompt and response: `max_length` or, if None, the models' shortest context.

    Raises:
        ValueError: `max_length` is below 2 or exceeds a model's context, or it is None and a model's configuration has
            no context length.
    """
    if max_length is None:
        return min(context_length(model) for model in models)
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2 (one token of prompt, one of response), found {max_length}")
    for context in filter(None, map(known_context, models)):
        if max_length > context:
            raise ValueError(f"max_length={max_length} is longer than the model's context of {context} tokens")
    return max_length


def takes_packed(model: Any) -> bool:
    """Whether a model is known to support packed batches: a GPT-2 with PyTorch's own attention.

    Other models may handle masks or positions differently, so their batches have one text per row.
    """
    return model.config.model_type == "gpt2" and model.config._attn_implementation == "sdpa"
