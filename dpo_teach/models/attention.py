"""Attention over packed rows on a GPU: FlexAttention, which skips the blocks of a row that nothing may look at.

A dense mask keeps PyTorch's fused attention from skipping anything: it reads the whole rows x time x time mask in every
layer. FlexAttention (Dong et al. 2024, arXiv:2412.05496) compiles the rule itself into the kernel. It needs a GPU and a
compiler, and gives the numbers of the dense mask up to rounding (`tests/test_devices.py`).
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

__all__ = ["packed_attention"]

NAME = "dpo_teach_packed"


@contextlib.contextmanager
def packed_attention(model: Any, block_mask: BlockMask | None) -> Iterator[dict[str, BlockMask]]:
    """Let a `transformers` model attend by a block mask, for one forward pass; without one nothing changes.

    Args:
        model: the model or its body; its attention modules all read the same configuration.
        block_mask: which blocks of each row are computed, or None.

    Yields:
        The keyword arguments that the forward pass needs: its layers hand them on to the attention function.
    """
    if block_mask is None:
        yield {}
        return
    _register()
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield {"block_mask": block_mask}
    finally:
        model.config._attn_implementation = before


@functools.cache
def _register() -> None:
    """Make the attention known to `transformers`. A name without a mask function makes it build no mask of its own."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)


@functools.cache
def _compiled() -> Callable[..., Any]:
    """One kernel for all shapes: no two batches have the same number and width of rows."""
    return torch.compile(flex_attention, dynamic=True)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    block_mask: BlockMask,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """An attention function as `transformers` calls it: from (rows, heads, time, width) to (rows, time, heads, width)."""
    # Inside torch.compile the surrounding layer is compiled together with it. On a CPU, as in tests, nothing is compiled.
    attend = _compiled() if query.is_cuda and not torch.compiler.is_compiling() else flex_attention
    attended = attend(query, key, value, block_mask=block_mask, scale=scaling)
    return attended.transpose(1, 2).contiguous(), None
