"""Load and check causal language models, prepare them for training, and freeze a reference."""

from dpo_teach.models.checks import check_embeddings, check_logits, check_padding
from dpo_teach.models.loading import ASSETS, BUNDLED_MODELS, LoadedModel, load_model, silence_transformers
from dpo_teach.models.output import body_of, output_layers
from dpo_teach.models.preparation import (
    compiled_layers,
    context_length,
    fitting_length,
    freeze_reference,
    fuse_gelu,
    known_context,
    switch_dropout_off,
    takes_packed,
)

__all__ = [
    "ASSETS",
    "BUNDLED_MODELS",
    "LoadedModel",
    "body_of",
    "check_embeddings",
    "check_logits",
    "check_padding",
    "compiled_layers",
    "context_length",
    "fitting_length",
    "freeze_reference",
    "fuse_gelu",
    "known_context",
    "load_model",
    "output_layers",
    "silence_transformers",
    "switch_dropout_off",
    "takes_packed",
]
