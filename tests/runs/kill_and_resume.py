"""A small run that a test can kill. It runs in a process forked from one that has already imported everything."""

import itertools
import os
import pathlib
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from safetensors import torch as safetensors_torch
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach import cli
from dpo_teach.runs import checkpoint
from dpo_teach.training import DPOConfig, DPOTrainer

SETTINGS = {"batch_size": 4, "learning_rate": 1e-2, "epochs": 4, "length_window": 8, "save_every": 1, "eval_every": 5}


def make_trainer(output: pathlib.Path | None = None, **options: Any) -> DPOTrainer:
    """Make a trainer with the settings of this file; `options` override them."""
    changes = {name: options.pop(name) for name in list(options) if hasattr(DPOConfig, name)}
    return DPOTrainer(
        options.pop("model", None) or tiny_model(), options.pop("tokenizer", None) or tiny_tokenizer(),
        options.pop("pairs", None) or tiny_pairs(), DPOConfig(**SETTINGS | changes), eval_pairs=tiny_pairs(6, seed=1),
        output=output, **options,
    )  # fmt: skip


def kill_at(call: int) -> None:
    """Send SIGKILL to this process at its Nth disk operation. A write stops halfway through its bytes."""
    count = itertools.count(1)

    def deadly(original: Callable[..., Any], tear: Callable[..., None] = lambda *_: None) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            if next(count) == call:
                tear(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return act

    write_text, write_bytes = pathlib.Path.write_text, pathlib.Path.write_bytes

    def half_tensors(tensors: dict[str, torch.Tensor], path: pathlib.Path) -> None:
        half_bytes(path, safetensors_torch.save(tensors))

    def half_bytes(path: pathlib.Path, content: bytes) -> None:
        write_bytes(path, content[: len(content) // 2])

    def half_text(path: pathlib.Path, text: str) -> None:
        write_text(path, text[: len(text) // 2])

    checkpoint.save_file = deadly(checkpoint.save_file, half_tensors)
    pathlib.Path.write_text = deadly(write_text, half_text)  # type: ignore[method-assign]
    pathlib.Path.write_bytes = deadly(write_bytes, half_bytes)  # type: ignore[method-assign]
    os.fsync = deadly(os.fsync)
    os.rename, os.replace, os.mkdir = deadly(os.rename), deadly(os.replace), deadly(os.mkdir)
    checkpoint.shutil.rmtree = deadly(checkpoint.shutil.rmtree)  # type: ignore[attr-defined]


def run(output: str, resume: bool, deadly_call: int = 0, **changes: Any) -> None:
    """Train and, if `deadly_call` is given, die at that disk operation. Must run in a separate process."""
    torch.set_num_threads(1)
    trainer = make_trainer(pathlib.Path(output), **changes)
    if deadly_call:
        kill_at(deadly_call)
    trainer.train(resume=resume)


def run_command(log: str, *arguments: str, largest_file: int = 0) -> None:
    """Run `dpo-teach` with its output in a file. `largest_file` limits files to that many bytes, like a full disk."""
    with pathlib.Path(log).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it by default
    torch.set_num_threads(1)
    if largest_file:
        sys.dont_write_bytecode = True  # Python 3.11 would keep a truncated compiled module
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    cli.main(arguments)


# The first save of transformers takes a third of a second. Do it here, once, and not in each forked process.
with tempfile.TemporaryDirectory() as scratch:
    tiny_model().save_pretrained(scratch)
