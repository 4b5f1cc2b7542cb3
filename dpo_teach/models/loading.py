"""Load a causal language model and its tokenizer: bundled, from a local folder, or from the Hugging Face Hub.

Weights are read only from safetensors files, and no code from a checkpoint is run. Pickled checkpoints are refused.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dpo_teach.models.checks import (
    check_causal,
    check_fit,
    check_logits,
    check_tokenizer_files,
    check_vocabulary,
    check_weights,
    first_line,
)
from dpo_teach.models.preparation import fuse_gelu, switch_dropout_off

__all__ = ["ASSETS", "BUNDLED_MODELS", "LoadedModel", "load_model", "silence_transformers"]

ASSETS = Path(__file__).parent.parent / "assets"
BUNDLED_MODELS = ("reviews-gpt2", "reviews-gpt2-dpo")
PAD_TOKEN = "<|pad|>"
HUB_TIMEOUT_S = 5.0
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class LoadedModel(NamedTuple):
    """A causal language model and its tokenizer."""

    model: Any
    tokenizer: Any


def load_model(name_or_path: str | os.PathLike[str], *, fuse: bool = True) -> LoadedModel:
    """Load a causal language model for training or scoring, in float32 and without dropout.

    A tokenizer without a padding token, such as GPT-2's, gets one.

    Args:
        name_or_path: a bundled model ("reviews-gpt2"), a local folder, or a model name on the Hub ("gpt2").
        fuse: compute GPT-2's activation as one operation (`fuse_gelu`).

    Returns:
        The model, in eval mode, and its tokenizer.

    Raises:
        ValueError: the model does not exist or the Hub cannot be reached; the weights are not in safetensors format, do
            not match the configuration or are not finite; the tokenizer is missing or has more tokens than the model;
            the model is not causal; or its logits cannot be computed from its last hidden states.

    >>> model, tokenizer = load_model("reviews-gpt2")
    >>> type(model).__name__
    'GPT2LMHeadModel'
    """
    name = os.fspath(name_or_path)
    model, tokenizer = _read(name, _locate(name))
    check_weights(name, model)
    check_vocabulary(name, model, tokenizer)
    _ensure_pad_token(model, tokenizer)
    if fuse:
        fuse_gelu(model)
    switch_dropout_off(model).eval()
    check_causal(f"model {name!r}", model)
    check_logits(f"model {name!r}", model)
    return LoadedModel(model, tokenizer)


@contextlib.contextmanager
def silence_transformers() -> Iterator[None]:
    """Switch off the warnings and progress bars of `transformers`.

    Its advice does not apply here, `check_fit` reports its table of weights in one line, and a progress bar for a few
    milliseconds of loading would remain in the output of a notebook.
    """
    from transformers.utils import logging  # imported only when needed: it takes seconds

    had_bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _locate(name: str) -> str:
    """Return the folder of a bundled or local model, or the name itself if it may be a name on the Hub."""
    if name in BUNDLED_MODELS:
        return str(ASSETS / name)
    path = Path(name)
    if path.is_dir():
        _check_folder(path)
        return name
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith(PICKLE_SUFFIXES):
        found = "a file" if path.exists() else "nothing"
        raise ValueError(f"model {name!r}: expected a folder with config.json and model.safetensors, found {found}")
    return name


def _check_folder(folder: Path) -> None:
    """Refuse a folder without a configuration, or whose weights are missing or pickled."""
    names = sorted(file.name for file in folder.iterdir())
    if "config.json" not in names:
        raise ValueError(f"model {str(folder)!r}: no config.json in this folder, found {', '.join(names) or 'nothing'}")
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    if pickled:
        raise ValueError(
            f"model {str(folder)!r}: {pickled[0]} holds its weights as a pickle, which can run arbitrary code when it "
            "is loaded; save them as safetensors, with model.save_pretrained and tokenizer.save_pretrained"
        )
    raise ValueError(f"model {str(folder)!r}: no model.safetensors in this folder, found {', '.join(names)}")


def _read(name: str, source: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # imported only when needed: it takes seconds

    only_local = Path(source).is_dir() or not _is_on_hub(name)
    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=only_local)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, local_files_only=only_local, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # the libraries raise many types of errors; the user gets one line
        raise ValueError(_explain(name, source, error, only_local=only_local)) from error
    model, fit = loaded
    check_fit(name, model, fit)
    check_tokenizer_files(name, source, tokenizer)
    return model, tokenizer


def _is_on_hub(name: str) -> bool:
    """Whether the Hub can be reached and has this model. Makes one request, because the Hub's retries take a minute.

    Raises:
        ValueError: the Hub can be reached and has no such model, or the name is not a valid id.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        if constants.HF_HUB_OFFLINE:
            return False
        HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
    except HFValidationError:
        raise ValueError(f"model {name!r}: not a local folder and not a valid id on the Hugging Face Hub") from None
    except RepositoryNotFoundError:
        raise ValueError(f"model {name!r}: not found on the Hugging Face Hub, or you have no access to it") from None
    except Exception:  # refused, timed out, no name server, a page from a proxy: the Hub cannot be used
        return False
    return True


def _explain(name: str, source: str, error: Exception, *, only_local: bool) -> str:
    """Explain in one line why a model could not be read."""
    if Path(source).is_dir() or not only_local:
        return f"model {name!r} could not be read: {first_line(error)}"
    from huggingface_hub import constants

    hub = "is switched off (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else "is not reachable from here"
    return (
        f"model {name!r} is not a bundled model ({', '.join(BUNDLED_MODELS)}) or a local folder, and has not been "
        f"downloaded before, and the Hugging Face Hub {hub}"
    )


def _ensure_pad_token(model: Any, tokenizer: Any) -> None:
    """Add a separate padding token to a tokenizer that has none.

    The common choice of the end-of-sequence token hides the real ends of texts whenever a mask is computed from ids.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
