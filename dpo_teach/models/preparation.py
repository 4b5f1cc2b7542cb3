"""Prepare a model for training: dropout off, a fused activation, a frozen reference; and what lengths it takes."""

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
    """A frozen copy of a policy, to be its reference: eval mode, no gradients, and never the same object.

    The reference is the policy as it was at the start (Rafailov et al. 2023, section 4). If it were the policy itself,
    both would move together and the loss would stay at ln 2.
    """
    reference = copy.deepcopy(policy)
    reference.requires_grad_(False)
    return reference.eval()


def switch_dropout_off(model: Any) -> Any:
    """Set every dropout probability to 0, in the modules and in the configuration that is saved with them.

    GPT-2's configuration has 0.1 three times. With dropout, policy and reference would differ on the first step and
    the log-ratios would be mostly noise.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout"):
        if isinstance(getattr(model.config, name, None), float):
            setattr(model.config, name, 0.0)
    return model


def fuse_gelu(model: Any) -> Any:
    """Compute `gelu_new`, the activation that GPT-2's configuration names, as one operation instead of eight.

    It is the same function of Hendrycks and Gimpel 2016 (arXiv:1606.08415), 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))),
    which PyTorch has as `gelu(approximate="tanh")`; every intermediate that is not kept saves memory, too. The
    configuration that is saved with the model stays as it was.
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

    The layers of a transformer are alike: one is compiled, and all run the result, which takes a fraction of the time
    that compiling the whole model takes. Shapes are dynamic, since no two batches have the same.
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
    """The longest sequence, in tokens, that a model takes.

    Raises:
        ValueError: its configuration does not say.
    """
    found = known_context(model)
    if found is None:
        raise ValueError(f"model: the configuration of this {type(model).__name__} does not say how many tokens it "
                         f"takes ({', '.join(CONTEXT_FIELDS)}): add one of them to its config.json")  # fmt: skip
    return found


def known_context(model: Any) -> int | None:
    """The longest sequence, in tokens, or None where the configuration does not say, as for models without a limit."""
    lengths = (getattr(model.config, name, None) for name in CONTEXT_FIELDS)
    return next((int(length) for length in lengths if length is not None), None)


def fitting_length(max_length: int | None, *models: Any) -> int:
    """Tokens of prompt and response together: `max_length` if it is given, else the shortest context of the models.

    Raises:
        ValueError: `max_length` is below 2 or longer than a context; or it is None and a model's configuration has
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
    """Whether a model is known to compute the same from a packed batch: a GPT-2 with PyTorch's own attention.

    Other models may use a mask or positions differently; their batches have one row for each text.
    """
    return model.config.model_type == "gpt2" and model.config._attn_implementation == "sdpa"
