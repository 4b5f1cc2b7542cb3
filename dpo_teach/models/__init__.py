"""Load a GPT-2, bundled or local or from the Hub, and freeze a reference."""

from dpo_teach.models.checking import check_embeddings, check_padding
from dpo_teach.models.finding import ASSETS, BUNDLED_MODELS
from dpo_teach.models.loading import LoadedModel, load_model
from dpo_teach.models.output import body_of, output_layers
from dpo_teach.models.preparing import (
    compiled_layers,
    context_length,
    fitting_length,
    freeze_reference,
    fuse_gelu,
    known_context,
    switch_dropout_off,
    takes_packed,
)
from dpo_teach.models.quiet import no_progress_bar, only_errors

__all__ = [
    "ASSETS",
    "BUNDLED_MODELS",
    "LoadedModel",
    "body_of",
    "check_embeddings",
    "check_padding",
    "compiled_layers",
    "context_length",
    "fitting_length",
    "freeze_reference",
    "fuse_gelu",
    "known_context",
    "load_model",
    "no_progress_bar",
    "only_errors",
    "output_layers",
    "switch_dropout_off",
    "takes_packed",
]
