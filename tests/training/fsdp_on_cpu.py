"""Run `dpo-teach` with its model sharded over CPU processes (FSDP), which accelerate supports only on GPUs.

    ACCELERATE_USE_CPU=true accelerate launch --num_processes 2 --config_file .../fsdp.yaml fsdp_on_cpu.py train ...

PyTorch's `fully_shard` works over gloo, but `AcceleratorState.__init__` accepts the plugin only on GPUs.
"""

from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from dpo_teach.cli import main

original = AcceleratorState.__init__


def sharded(self: AcceleratorState, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    """Use the plugin from the launcher's settings in the precision of the run, as on GPUs."""
    original(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is None:  # accelerate reads the existing state
        return
    self.fsdp_plugin = fsdp_plugin
    if self.mixed_precision != "no":
        fsdp_plugin.set_mixed_precision(self.mixed_precision)
    self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


AcceleratorState.__init__ = sharded  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
