"""Where a model is: bundled, in a local folder, or on the Hub; and in words where it is not."""

from pathlib import Path

__all__ = ["ASSETS", "BUNDLED_MODELS", "ask_hub", "explain", "first_line", "locate"]

ASSETS = Path(__file__).parent.parent / "assets"
BUNDLED_MODELS = ("reviews-gpt2", "reviews-gpt2-dpo")
HUB_PATIENCE_S = 5.0
PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def locate(name: str) -> str:
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
            "read: save them as safetensors instead (model.save_pretrained does, and then tokenizer.save_pretrained)"
        )
    raise ValueError(f"model {str(folder)!r}: no model.safetensors in this folder, found {', '.join(names)}")


def ask_hub(name: str) -> bool:
    """Whether the Hub answers for this name; asked once and briefly, since its own retries take a minute.

    Raises:
        ValueError: the Hub answers, and has no such model; or it could have none of that name.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        if constants.HF_HUB_OFFLINE:
            return False
        HfApi().model_info(name, timeout=HUB_PATIENCE_S)
    except HFValidationError:
        raise ValueError(
            f"model {name!r}: no folder of that name is here, and no model on the Hub can have it"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(f"model {name!r}: the Hub was reached, but has no such model that you may read") from None
    except Exception:  # refused, timed out, no name server, a proxy's page: there is no Hub to be had
        return False
    return True


def explain(name: str, source: str, error: Exception, *, only_local: bool) -> str:
    """One line that says why a model could not be read."""
    if Path(source).is_dir() or not only_local:
        return f"model {name!r} could not be read: {first_line(error)}"
    from huggingface_hub import constants

    hub = "is switched off (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else "is not reachable from here"
    return (
        f"model {name!r} is not bundled ({', '.join(BUNDLED_MODELS)}), not a local folder and was not downloaded "
        f"before, and the Hugging Face Hub {hub}"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
