"""The memory calculator: the bytes that the models of RLHF and of DPO take up in memory."""

from typing import get_args

import traitlets

from dpo_teach.memory import Dtype, Optimizer, PipelineMemory, byte_rules, count_memory
from dpo_teach.widgets.explorer import Choice, Explorer, Number

__all__ = ["MemoryCalculator"]


class MemoryCalculator(Explorer, module="memory_calculator", render="memoryCalculator"):
    """The memory that each model of RLHF and of DPO needs: weights, gradients, optimizer state.

    Args:
        billions: parameters of one model in units of 10^9, 0.001 to 1000.
        dtype: the number format of the weights; one of `dpo_teach.memory.Dtype`.
        optimizer: "none" (weights only), "sgd" or "adamw".
        precomputed_reference: the reference's log-probabilities were computed beforehand.
        lora: an adapter is trained instead of the model.

    Raises:
        traitlets.TraitError: a value is out of range or not one of the choices.

    >>> MemoryCalculator(billions=7.0, dtype="int8", optimizer="none").gigabytes
    (28.0, 14.0)
    """

    settings = ("billions", "dtype", "optimizer", "precomputed_reference", "lora")

    billions = Number(7.0, least=0.001, most=1000.0)
    dtype = Choice(get_args(Dtype))
    optimizer = Choice(get_args(Optimizer))
    precomputed_reference = traitlets.Bool(False).tag(sync=True)
    lora = traitlets.Bool(False).tag(sync=True)
    dtypes = traitlets.List(list(get_args(Dtype))).tag(sync=True)
    rules = traitlets.Dict(byte_rules()).tag(sync=True)

    def __init__(
        self,
        *,
        billions: float = 7.0,
        dtype: Dtype = "bfloat16",
        optimizer: Optimizer = "adamw",
        precomputed_reference: bool = False,
        lora: bool = False,
    ) -> None:
        super().__init__(
            billions=billions, dtype=dtype, optimizer=optimizer, precomputed_reference=precomputed_reference, lora=lora
        )

    @property
    def pipelines(self) -> tuple[PipelineMemory, PipelineMemory]:
        """RLHF and DPO, model by model, bytes."""
        return count_memory(
            self.billions * 1e9,
            self.dtype,
            self.optimizer,
            precomputed_reference=self.precomputed_reference,
            lora=self.lora,
        )

    @property
    def gigabytes(self) -> tuple[float, float]:
        """The two totals, in GB of 10^9 bytes."""
        rlhf, dpo = self.pipelines
        return rlhf.total / 1e9, dpo.total / 1e9

    def describe(self) -> str:
        """The two totals in one line."""
        rlhf, dpo = self.gigabytes
        models = " and ".join(f"{len(p.models)} for {p.name}" for p in self.pipelines)
        return (
            f"MemoryCalculator: {self.billions:g} billion parameters, {self.dtype}, optimizer {self.optimizer}: "
            f"RLHF {rlhf:.4g} GB, DPO {dpo:.4g} GB; models in memory: {models}"
        )
