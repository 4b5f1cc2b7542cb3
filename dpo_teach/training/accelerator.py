"""The processes, devices and precision of a run, as `accelerate` manages them."""

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
    """An accelerator for one run: on a GPU if there is one, in bfloat16 if that is set, or "auto" and supported."""
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
    AcceleratorState._reset_state()  # runs of different precision may follow each other in one notebook
    accelerator = Accelerator(
        mixed_precision="bf16" if use_bf16 else "no", cpu=not torch.accelerator.is_available(),
        fsdp_plugin=_fsdp_bf16_plugin() if use_bf16 and os.environ.get("ACCELERATE_USE_FSDP") == "true" else None,
    )  # fmt: skip
    if accelerator.num_processes > 1 and torch.distributed.get_backend() == torch.distributed.Backend.GLOO:
        atexit.register(_destroy_process_group)
    return accelerator


def _destroy_process_group() -> None:
    """Join gloo's threads: one that needs the interpreter while it shuts down aborts a process that has succeeded."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _fsdp_bf16_plugin() -> FullyShardedDataParallelPlugin:
    """The launcher's FSDP settings, with log-probabilities left in float32: a bfloat16 sum has three digits."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)  # outputs are not cast
    return FullyShardedDataParallelPlugin(mixed_precision_policy=policy)
