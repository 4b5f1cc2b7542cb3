"""Open a data file: decompress it, and say so in one line if it is not what its ending says."""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dpo_teach.pairs.errors import PairError

__all__ = ["endings_of", "open_data", "without_bom"]

HEAD_BYTES = 1024


def _open_zstandard(path: Path) -> io.BufferedReader:
    import pyarrow  # slow to import; it is installed with `datasets` and includes the decompression

    return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))


COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}
KINDS = (  # how other kinds of files begin, what they are, and what to do
    (b"version https://git-lfs", "a Git LFS pointer instead of the data", "run git lfs pull"),
    (b"<!doctype html", "a web page", "download the file itself, not the page that shows it"),
    (b"<html", "a web page", "download the file itself, not the page that shows it"),
    (b"<?xml", "an XML document", "download the file itself, or convert it"),
    (b"\x1f\x8b", "a gzip file", "rename it to end in .gz"),
    (b"BZh", "a bzip2 file", "rename it to end in .bz2"),
    (b"\xfd7zXZ", "an xz file", "rename it to end in .xz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "rename it to end in .zst"),
    (b"PK\x03\x04", "a zip file or a spreadsheet", "unpack it, or save it as .csv"),
    (b"PAR1", "a Parquet file", "rename it to end in .parquet"),
)


def endings_of(path: Path) -> tuple[str, str]:
    """The ending that names a file's format, and the ending that names its compression; both may be empty.

    >>> endings_of(Path("pairs.jsonl.gz"))
    ('.jsonl', '.gz')
    """
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    return (Path(path.stem) if compression else path).suffix.lower(), compression


@contextlib.contextmanager
def open_data(path: Path) -> Iterator[Any]:
    """Open a file for reading bytes, decompressed. The file is buffered, so that its beginning can be looked at.

    Raises:
        PairError: the file is empty or of another kind than its ending says, or cannot be read or decompressed.
    """
    ending, compression = endings_of(path)
    try:
        with COMPRESSIONS.get(compression, lambda plain: plain.open("rb"))(path) as file:
            _check_head(path, ending, file.peek(HEAD_BYTES)[:HEAD_BYTES])
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, PairError):
            raise
        what = f"decompressed ({compression})" if compression else "read"
        raise PairError(f"{path}: cannot be {what}: {getattr(error, 'strerror', None) or error}") from error


def _check_head(path: Path, ending: str, head: bytes) -> None:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start and len(head) < HEAD_BYTES:
        raise PairError(f"{path}: expected at least one preference pair, found an empty file")
    for beginning, what, remedy in KINDS:
        if start.lower().startswith(beginning.lower()) and (beginning, ending) != (b"PAR1", ".parquet"):
            raise PairError(f"{path}: expected a {ending} file, found {what}; {remedy}")


def without_bom(path: Path, data: bytes) -> bytes:
    """Remove the byte order mark of UTF-8.

    Raises:
        PairError: the data is UTF-16.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PairError(f"{path}: expected UTF-8, found UTF-16 (called Unicode in Windows); save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)
