"""Write files so that they survive crashes and power cuts, and compute checksums to detect damaged files."""

import hashlib
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["DISK_ERRORS", "atomic_write", "copy_modes", "sha256_of", "short_reason", "sync", "sync_tree"]

DISK_ERRORS = (OSError, SafetensorError)
"""Errors raised when a disk is full, broken or read-only. safetensors raises its own type."""


def atomic_write(path: Path, content: str | bytes) -> None:
    """Replace the content of a file atomically: after a kill at any moment, the file has the old or the new content.

    The content is written to a temporary file in the same folder, synced to disk, and renamed. Only one process may
    write a file at a time.

    Raises:
        OSError: the disk is full or not writable; the file is unchanged.

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
    """Wait until the bytes of a file, or the names in a folder, have been written to disk.

    Windows has no such call for folders, so this function does nothing for them there.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` all files and subfolders of a folder, and then the folder itself."""
    for path in folder.iterdir():
        (sync_tree if path.is_dir() else sync)(path)
    sync(folder)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. The file is streamed, not loaded into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_modes(folder: Path, like: str) -> None:
    """Give all files in a folder the permissions of the file `like`, because safetensors creates files as 0600."""
    for path in folder.iterdir():
        shutil.copymode(folder / like, path)


def short_reason(error: BaseException) -> str:
    """Return the system's short message for an error, such as "No space left on device"."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
