"""Files that survive a crash or a power cut, and how to recognise one that did not."""

import hashlib
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["DISK_ERRORS", "atomic_write", "copy_modes", "sha256_of", "short_reason", "sync", "sync_tree"]

DISK_ERRORS = (OSError, SafetensorError)
"""Raised when a disk is full, broken or read-only; safetensors has an error of its own for it."""


def atomic_write(path: Path, content: str | bytes) -> None:
    """Replace a file's content so that a reader, or a kill at any moment, finds the old content or the new one.

    The content is written beside the file, brought to the disk, and renamed. One process at a time may write a file.

    Raises:
        OSError: the disk is full or may not be written to; the file is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> atomic_write(path, "one line\\n")
    >>> path.read_text()
    'one line\\n'
    """
    scratch = path.with_name(f"{path.name}.tmp")
    try:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        sync(scratch)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's names.

    Windows has no such call for a folder; there the names are left to the system.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` every file and folder below a folder, and then the folder itself."""
    for path in folder.iterdir():
        (sync_tree if path.is_dir() else sync)(path)
    sync(folder)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; the file is streamed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_modes(folder: Path, like: str) -> None:
    """Give every file in a folder the permissions of one of them: safetensors creates files as 0600."""
    for path in folder.iterdir():
        shutil.copymode(folder / like, path)


def short_reason(error: BaseException) -> str:
    """The system's own words for an error: "No space left on device"."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
