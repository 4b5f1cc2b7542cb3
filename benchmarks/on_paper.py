"""Estimate memory and time of DPO for models that were not run here: `python -m benchmarks.on_paper`.

Each parameter takes 16 bytes on each GPU (`count_memory`: float32 weights and gradients, AdamW's two moments, no
reference). A forward pass in bfloat16 adds 2 bytes, and DDP's gradient buckets add 4. FSDP divides the 16 bytes among
the GPUs, and holds two whole layers at a time, with weights and gradients in bfloat16.

    activations = 34 s b h L bytes                     Korthikanti et al. 2022 (arXiv:2205.05198), equation 1
    time = (2 + 6 / GPUs) N T / FLOPs a second         Kaplan et al. 2020 (arXiv:2001.08361), section 2.1

s b is the number of tokens in a forward pass, h the width, L the number of layers. The paper's term 5 a s / h is left
out, because it counts stored attention scores, which PyTorch's attention does not store. N is the number of parameters
and T the number of tokens of all pairs. The factor 6 is for a training step and 2 for the reference's forward pass,
which every process computes for all pairs.
"""

from dataclasses import dataclass

from dpo_teach.logps import LOGITS_AT_ONCE
from dpo_teach.memory import count_memory

GPU_BYTES = 80e9
GPU_FLOPS = 400e12
REACHED = 0.5
"""The share of `GPU_FLOPS` that training reaches."""
PAIRS = 60_000
PROMPT, RESPONSE = 256, 256
"""In tokens. A prompt is computed once for both responses."""
PAIRS_AT_ONCE = 8
"""Pairs in one forward pass of one GPU: `--micro-batch-size`."""
TOKENS = PROMPT + 2 * RESPONSE
VOCABULARY = 50_257
AUTOCAST, BUCKETS = 2, 4
"""Bytes per parameter."""
LAYER_BYTES, LAYERS_AT_ONCE = 2 + 2, 2
LOGIT_BYTES = 2 + 4 + 4
"""Bytes of a logit in bfloat16 and in float32, and of its gradient."""


@dataclass(frozen=True)
class Shape:
    """The size of a GPT-2.

    Args:
        name: its name in the table.
        parameters: number of parameters, N.
        layers, width: L and h.
    """

    name: str
    parameters: float
    layers: int
    width: int


SHAPES = (Shape("124 M", 124e6, 12, 768), Shape("1.5 B", 1.5e9, 48, 1600), Shape("7 B", 7e9, 32, 4096))
WAYS = (("one process", 1), ("DDP", 8), ("FSDP", 8))
CONFIGURATION = {"one process": "none", "DDP": "`ddp.yaml`", "FSDP": "`fsdp.yaml`"}


def state_bytes(shape: Shape, way: str, gpus: int) -> float:
    """Bytes on each GPU for weights, gradients, the optimizer's state and the copies that a step makes."""
    _, dpo = count_memory(shape.parameters, "float32", "adamw", precomputed_reference=True)
    if way == "FSDP":
        return dpo.total / gpus + LAYERS_AT_ONCE * LAYER_BYTES * shape.parameters / shape.layers
    return dpo.total + (AUTOCAST + (BUCKETS if gpus > 1 else 0)) * shape.parameters


def activation_bytes(shape: Shape) -> float:
    """Bytes for the activations of one forward pass and the logits that are held at once."""
    logits = min(PAIRS_AT_ONCE * 2 * RESPONSE * VOCABULARY, LOGITS_AT_ONCE)
    return 34 * PAIRS_AT_ONCE * TOKENS * shape.width * shape.layers + LOGIT_BYTES * logits


def seconds(shape: Shape, gpus: int) -> float:
    """Seconds for the reference's log-probabilities and one epoch."""
    return (2 + 6 / gpus) * shape.parameters * PAIRS * TOKENS / (GPU_FLOPS * REACHED)


def table() -> str:
    """The table in Markdown, with one row for each model and configuration."""
    lines = [
        "| parameters | GPUs | state, GB a GPU | activations, GB | together | fits in 80 GB | time | configuration |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shape in SHAPES:
        for way, gpus in WAYS:
            state, activations = state_bytes(shape, way, gpus), activation_bytes(shape)
            fits = state + activations <= GPU_BYTES
            cells = (
                shape.name, f"{gpus}, {way}", f"{state / 1e9:.1f}", f"{activations / 1e9:.1f}",
                f"{(state + activations) / 1e9:.1f}", "yes" if fits else "no",
                f"{seconds(shape, gpus) / 60:.0f} min" if fits else "-", CONFIGURATION[way] if fits else "-",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
