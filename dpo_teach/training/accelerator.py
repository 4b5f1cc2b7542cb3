"""Processes, devices and precision of a run, managed by `accelerate`."""

import atexit
import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.fsdp import MixedPrecisionPolicy

from dpo_teach.training.config import Precision

__all__ = ["make_accelerator"]


def make_accelerator(precision: Precision) -> Accelerator:
    """Make an accelerator: on a GPU if available, in bfloat16 for "bf16", or for "auto" if the GPU supports it."""
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
    AcceleratorState._reset_state()  # a notebook may run trainings of different precision
    accelerator = Accelerator(
        mixed_precision="bf16" if use_bf16 else "no", cpu=not torch.accelerator.is_available(),
        fsdp_plugin=_fsdp_bf16_plugin() if use_bf16 and os.environ.get("ACCELERATE_USE_FSDP") == "true" else None,
    )  # fmt: skip
    if accelerator.num_processes > 1 and torch.distributed.get_backend() == torch.distributed.Backend.GLOO:
        atexit.register(_destroy_process_group)
    return accelerator


def _destroy_process_group() -> None:
    """Join gloo's threads. A thread that needs the interpreter during shutdown would abort a successful process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _fsdp_bf16_plugin() -> FullyShardedDataParallelPlugin:
    """FSDP settings of the launcher, with log-probabilities kept in float32: bfloat16 sums have only three digits."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)  # outputs are not cast
    return FullyShardedDataParallelPlugin(mixed_precision_policy=policy)
