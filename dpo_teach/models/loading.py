"""Load a causal language model and its tokenizer.

Weights come out of safetensors files only, and no code comes with a model: a checkpoint in pickle form is refused.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dpo_teach.models.checking import (
    check_causal,
    check_files_of_tokenizer,
    check_fit,
    check_logits,
    check_vocabulary,
    check_weights,
)
from dpo_teach.models.finding import ask_hub, explain, locate
from dpo_teach.models.preparing import fuse_gelu, switch_dropout_off
from dpo_teach.models.quiet import no_progress_bar, only_errors

__all__ = ["LoadedModel", "load_model"]

PAD_TOKEN = "<|pad|>"


class LoadedModel(NamedTuple):
    """A causal language model and the tokenizer that it was trained with."""

    model: Any
    tokenizer: Any


def load_model(name_or_path: str | os.PathLike[str], *, fuse: bool = True) -> LoadedModel:
    """Load a causal language model for training or scoring, dropout off, in float32.

    The same call takes a bundled name ("reviews-gpt2"), a local folder, or a name on the Hugging Face Hub ("gpt2").
    A tokenizer without a padding token, such as GPT-2's own, is given one.

    Args:
        name_or_path: where the model is.
        fuse: compute GPT-2's activation as one operation (`fuse_gelu`).

    Returns:
        The model, in eval mode, and its tokenizer.

    Raises:
        ValueError: there is no such model, the Hub cannot be reached, the weights are not in safetensors, do not fit
            the configuration or are not finite, the tokenizer is missing or knows more tokens than the model, the
            model looks ahead, or log-probabilities cannot be computed from its hidden states.

    >>> model, tokenizer = load_model("reviews-gpt2")
    >>> type(model).__name__
    'GPT2LMHeadModel'
    """
    name = os.fspath(name_or_path)
    model, tokenizer = _read(name, locate(name))
    check_weights(name, model)
    check_vocabulary(name, model, tokenizer)
    _ensure_pad_token(model, tokenizer)
    if fuse:
        fuse_gelu(model)
    switch_dropout_off(model).eval()
    check_causal(name, model)
    check_logits(name, model)
    return LoadedModel(model, tokenizer)


def _read(name: str, source: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # seconds to import: not before it is needed

    only_local = Path(source).is_dir() or not ask_hub(name)
    try:
        with no_progress_bar(), only_errors():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=only_local)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, local_files_only=only_local, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # whatever the libraries raise, a person wants one line
        raise ValueError(explain(name, source, error, only_local=only_local)) from error
    model, fit = loaded
    check_fit(name, model, fit)
    check_files_of_tokenizer(name, source, tokenizer)
    return model, tokenizer


def _ensure_pad_token(model: Any, tokenizer: Any) -> None:
    """Give a tokenizer without a padding token one of its own.

    Using the end-of-sequence token instead, as is often done, hides real ends wherever a mask is made from ids.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
