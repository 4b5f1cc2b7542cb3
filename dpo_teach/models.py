"""Load a GPT-2, bundled or local or from the Hub, and freeze a reference.

Weights come out of safetensors files only, and no code comes with a model: a checkpoint in pickle form is refused.
"""

import contextlib
import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = [
    "BUNDLED_MODELS",
    "LoadedModel",
    "context_length",
    "freeze_reference",
    "fuse_gelu",
    "load_model",
    "no_progress_bar",
    "switch_dropout_off",
    "takes_packed",
]

ASSETS = Path(__file__).parent / "assets"
BUNDLED_MODELS = ("reviews-gpt2", "reviews-gpt2-dpo")
PAD_TOKEN = "<|pad|>"
HUB_PATIENCE_S = 5.0
PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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
        ValueError: there is no such model, the Hub cannot be reached, the weights are not in safetensors, a weight
            is not finite, or the tokenizer knows more tokens than the model.

    >>> model, tokenizer = load_model("reviews-gpt2")
    >>> type(model).__name__
    'GPT2LMHeadModel'
    """
    name = os.fspath(name_or_path)
    source = _locate(name)
    model, tokenizer = _read(name, source)
    _check_weights(name, model)
    _check_vocabulary(name, model, tokenizer)
    _ensure_pad_token(model, tokenizer)
    if fuse:
        fuse_gelu(model)
    return LoadedModel(switch_dropout_off(model).eval(), tokenizer)


def freeze_reference(policy: nn.Module) -> Any:
    """A frozen copy of a policy, to be its reference: eval mode, no gradients, and never the same object.

    The reference is the policy as it was at the start (Rafailov et al. 2023, section 4). If it were the policy itself,
    both would move together and the loss would stay at ln 2.
    """
    reference = copy.deepcopy(policy)
    reference.requires_grad_(False)
    return reference.eval()


def switch_dropout_off(model: Any) -> Any:
    """Set every dropout probability to 0, in the modules and in the configuration that is saved with them.

    GPT-2's configuration has 0.1 three times. With dropout, policy and reference would differ on the first step and
    the log-ratios would be mostly noise.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout"):
        if isinstance(getattr(model.config, name, None), float):
            setattr(model.config, name, 0.0)
    return model


def fuse_gelu(model: Any) -> Any:
    """Compute `gelu_new`, the activation that GPT-2's configuration names, as one operation instead of eight.

    It is the same function of Hendrycks and Gimpel 2016 (arXiv:1606.08415), 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))),
    which PyTorch has as `gelu(approximate="tanh")`; every intermediate that is not kept saves memory, too. The
    configuration that is saved with the model stays as it was.
    """
    from transformers.activations import GELUTanh, NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())
    return model


def context_length(model: Any) -> int:
    """The longest sequence, in tokens, that a model takes."""
    return int(model.config.max_position_embeddings)


def takes_packed(model: Any) -> bool:
    """Whether a model is known to compute the same from a packed batch: a GPT-2 with PyTorch's own attention.

    Other models may read a mask or positions in a way of their own; they are given one row for each text.
    """
    return model.config.model_type == "gpt2" and model.config._attn_implementation == "sdpa"


def _locate(name: str) -> str:
    """The folder of a bundled or local model, or the name itself where it may be on the Hub."""
    if name in BUNDLED_MODELS:
        return str(ASSETS / name)
    path = Path(name)
    if path.is_dir():
        _refuse_pickle(path)
        return name
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith(PICKLE_ENDINGS):
        found = "a file" if path.exists() else "nothing"
        raise ValueError(f"model {name!r}: a folder with config.json and model.safetensors is wanted, found {found}")
    return name


def _refuse_pickle(folder: Path) -> None:
    names = sorted(file.name for file in folder.iterdir())
    if "config.json" not in names:
        raise ValueError(f"model {str(folder)!r}: no config.json in this folder, found {', '.join(names) or 'nothing'}")
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = [name for name in names if name.endswith(PICKLE_ENDINGS)]
    if pickled:
        raise ValueError(
            f"model {str(folder)!r}: {pickled[0]} holds its weights as a pickle, which can run any code when it is "
            "read: save them as safetensors instead (model.save_pretrained does)"
        )
    raise ValueError(f"model {str(folder)!r}: no model.safetensors in this folder, found {', '.join(names)}")


def _read(name: str, source: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # seconds to import: not before it is needed

    only_local = Path(source).is_dir() or not _ask_hub(name)
    try:
        with no_progress_bar():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=only_local)
            model = AutoModelForCausalLM.from_pretrained(
                source, local_files_only=only_local, use_safetensors=True, dtype=torch.float32
            )
    except Exception as error:  # whatever the libraries raise, a person wants one line
        raise ValueError(_explain(name, source, error, only_local=only_local)) from error
    return model, tokenizer


def _ask_hub(name: str) -> bool:
    """Whether the Hub answers for this name; asked once and briefly, since its own retries take a minute.

    Raises:
        ValueError: the Hub answers, and has no such model.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        HfApi().model_info(name, timeout=HUB_PATIENCE_S)
    except (RepositoryNotFoundError, HFValidationError):
        raise ValueError(f"model {name!r}: the Hub was reached, but has no such model that you may read") from None
    except Exception:  # refused, timed out, no name server, a proxy's page: there is no Hub to be had
        return False
    return True


@contextlib.contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep `transformers` from drawing bars: one for milliseconds of reading is noise, and stays in a notebook."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _explain(name: str, source: str, error: Exception, *, only_local: bool) -> str:
    """One line that says why a model could not be read."""
    if Path(source).is_dir() or not only_local:
        return f"model {name!r} could not be read: {_first_line(error)}"
    from huggingface_hub import constants

    hub = "is switched off (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else "is not reachable from here"
    return (
        f"model {name!r} is not bundled ({', '.join(BUNDLED_MODELS)}), not a local folder and was not downloaded "
        f"before, and the Hugging Face Hub {hub}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check_weights(name: str, model: nn.Module) -> None:
    for parameter_name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            count = int((~torch.isfinite(parameter)).sum())
            raise ValueError(
                f"model {name!r}: {count} values of weight {parameter_name} are not finite (NaN or infinity)"
            )


def _check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(
            f"model {name!r}: its tokenizer knows {len(tokenizer)} tokens, but the model has embeddings for {rows}: "
            "they do not belong together"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(f"model {name!r}: its tokenizer has no end-of-sequence token, so a response could not end")


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
