"""A small run that a test may kill, in a process forked from one that has already imported everything."""

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
    """The run of this file, from its start."""
    changes = {name: options.pop(name) for name in list(options) if hasattr(DPOConfig, name)}
    return DPOTrainer(
        options.pop("model", None) or tiny_model(), options.pop("tokenizer", None) or tiny_tokenizer(),
        options.pop("pairs", None) or tiny_pairs(), DPOConfig(**SETTINGS | changes), eval_pairs=tiny_pairs(6, seed=1),
        output=output, **options,
    )  # fmt: skip


def kill_at(call: int) -> None:
    """SIGKILL to this process at its Nth change on the disk; a write is cut in the middle of its bytes."""
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
    """Train, and be killed at that change on the disk, if one is given. Run this in a process of its own."""
    torch.set_num_threads(1)
    trainer = make_trainer(pathlib.Path(output), **changes)
    if deadly_call:
        kill_at(deadly_call)
    trainer.train(resume=resume)


def run_command(log: str, *arguments: str, largest_file: int = 0) -> None:
    """Run `dpo-teach` with its output in a file; files may grow to `largest_file` bytes, as if the disk were full."""
    with pathlib.Path(log).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background is told to ignore
    torch.set_num_threads(1)
    if largest_file:
        sys.dont_write_bytecode = True  # Python 3.11 would keep a compiled module that was cut short
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    cli.main(arguments)


# transformers takes a third of a second before its first save: here, and not again in each forked process.
with tempfile.TemporaryDirectory() as scratch:
    tiny_model().save_pretrained(scratch)
