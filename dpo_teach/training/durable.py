"""Files that survive a power cut, and how to see that one did not."""

import hashlib
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["DISK_ERRORS", "reason_of", "sha256_of", "share", "sync", "sync_all"]

DISK_ERRORS = (OSError, SafetensorError)
"""What a full, broken or read-only disk is told as; safetensors has an error of its own for it."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; the file is streamed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or the names in a folder.

    Windows has no such call for a folder; there the names are left to the system.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """`sync` every file and folder below a folder, and then itself."""
    for path in folder.iterdir():
        (sync_all if path.is_dir() else sync)(path)
    sync(folder)


def share(folder: Path, like: str) -> None:
    """Give every file of a folder the permissions of one that was opened in the usual way: safetensors' are 0600."""
    for path in folder.iterdir():
        shutil.copymode(folder / like, path)


def reason_of(error: BaseException) -> str:
    """What the system says of an error, in a few words: "No space left on device"."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
