"""The memory that RLHF and DPO need, in bytes, counted model by model.

Weights, gradients and optimizer state are counted. Activations and the sampling cache are not: they depend on the batch
size and on the length of the texts. 1 GB is 10^9 bytes.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Dtype", "ModelMemory", "Optimizer", "PipelineMemory", "byte_rules", "count_memory"]

Dtype = Literal["int8", "bfloat16", "float32", "bfloat16 + float32 master"]
"""Storage format of the weights. The last one is used by mixed-precision training for a model that is trained."""

Optimizer = Literal["none", "sgd", "adamw"]
"""none: only weights, no training; sgd: also gradients; adamw: also gradients and two float32 moments."""

_WEIGHT_BYTES: dict[str, int] = {"int8": 1, "bfloat16": 2, "float32": 4, "bfloat16 + float32 master": 2}
_MASTER_BYTES: dict[str, int] = {"bfloat16 + float32 master": 4}
_STATE_BYTES: dict[str, int] = {"none": 0, "sgd": 0, "adamw": 8}

ADAPTER_SHARE = 0.01
"""Fraction of the parameters in the LoRA adapter assumed here; common choices are between 0.001 and 0.02."""


@dataclass(frozen=True)
class ModelMemory:
    """The memory of one model of a pipeline, in bytes.

    Args:
        role: policy, value, reward or reference.
        weights: bytes of the weights that a forward pass reads.
        gradients: bytes of the gradients; 0 for a frozen model.
        optimizer: bytes of the optimizer state, including any float32 master copy; 0 for a frozen model.
    """

    role: str
    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """Total memory of the model, in bytes."""
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class PipelineMemory:
    """The models that a pipeline keeps in memory at the same time.

    Args:
        name: RLHF or DPO.
        models: the models in memory; a model that shares the weights of another is not listed.
    """

    name: str
    models: tuple[ModelMemory, ...]

    @property
    def total(self) -> float:
        """Total memory of all models, in bytes."""
        return sum(model.total for model in self.models)


def count_memory(
    parameters: float,
    dtype: Dtype = "bfloat16",
    optimizer: Optimizer = "adamw",
    *,
    precomputed_reference: bool = False,
    lora: bool = False,
) -> tuple[PipelineMemory, PipelineMemory]:
    """Compute the memory of RLHF (with PPO) and of DPO for models of equal size.

        RLHF: policy and value trained, reward and reference frozen
        DPO:  policy trained, reference frozen

    RLHF follows Ouyang et al. 2022, "InstructGPT" (arXiv:2203.02155), and DPO follows Rafailov et al. 2023.

    Args:
        parameters: number of parameters of one model, above 0.
        dtype: storage format of the weights. Gradients have the same width.
        optimizer: the optimizer; "none" counts only weights.
        precomputed_reference: the reference's log-probabilities are computed before training, and the reference is then
            deleted. DPO can do this, because its responses are known in advance. PPO cannot, because it samples its
            responses during training.
        lora: only an adapter with 1 % of the parameters is trained. The reference is then the policy with its adapter
            switched off, and needs no additional weights.

    Returns:
        The memory of RLHF and of DPO, in this order.

    Raises:
        ValueError: parameters is not a finite number above 0, or dtype or optimizer is not one of the listed choices.

    >>> rlhf, dpo = count_memory(7e9, dtype="int8", optimizer="none")
    >>> rlhf.total / 1e9, dpo.total / 1e9
    (28.0, 14.0)
    """
    if not (math.isfinite(parameters) and parameters > 0):
        raise ValueError(f"parameters must be a finite number above 0, found {parameters}")
    for name, value, choices in (("dtype", dtype, get_args(Dtype)), ("optimizer", optimizer, get_args(Optimizer))):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, found {value!r}")

    def trained(role: str) -> ModelMemory:
        return _trained(role, parameters, dtype, optimizer, lora)

    def frozen(role: str) -> ModelMemory:
        return ModelMemory(role, parameters * _WEIGHT_BYTES[dtype], 0.0, 0.0)

    reference = () if lora else (frozen("reference"),)
    rlhf = (trained("policy"), trained("value"), frozen("reward"), *reference)
    dpo = (trained("policy"), *(() if precomputed_reference else reference))
    return PipelineMemory("RLHF", rlhf), PipelineMemory("DPO", dpo)


def byte_rules() -> dict[str, dict[str, int] | float]:
    """The constants of `count_memory`, for the calculator in the browser.

    >>> byte_rules()["adapter_share"]
    0.01
    """
    return {
        "weight_bytes": _WEIGHT_BYTES,
        "master_bytes": _MASTER_BYTES,
        "state_bytes": _STATE_BYTES,
        "adapter_share": ADAPTER_SHARE,
    }


def _trained(role: str, parameters: float, dtype: Dtype, optimizer: Optimizer, lora: bool) -> ModelMemory:
    adapter = parameters * ADAPTER_SHARE if lora else 0.0
    learning = adapter if lora else parameters
    if optimizer == "none":
        learning = 0.0
    per_parameter = _STATE_BYTES[optimizer] + _MASTER_BYTES.get(dtype, 0)
    return ModelMemory(
        role,
        weights=(parameters + adapter) * _WEIGHT_BYTES[dtype],
        gradients=learning * _WEIGHT_BYTES[dtype],
        optimizer=learning * per_parameter,
    )
