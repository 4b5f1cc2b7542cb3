"""The normal form of a committed notebook: only what a reader sees and a second run reproduces."""

import base64
import copy
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "NotebookError",
    "after_questions",
    "code_cells",
    "keep_unstable_outputs",
    "normalise",
    "problems",
    "read",
    "serialise",
    "unfit_outputs",
]

Notebook = dict[str, Any]
Cell = dict[str, Any]

UNSTABLE = "nbval-ignore-output"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
CELL_METADATA = ("tags", "jupyter", "slideshow", "editable", "deletable")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_REMARKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf")

SLUG = re.compile(r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*")
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?")
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)  # as in nbval: a progress bar keeps its last state
MACHINE_PATH = re.compile(
    r"(?:file://|(?<![\w.~:/-]))/(?:home|Users|root|tmp|private|work|workspace|var|opt|usr|mnt|media|srv|content)/[^\s'\"]*"
    r"|(?<!\w)[A-Z]:\\(?:Users|Windows|Program)[^\s'\"]*"
)


class NotebookError(Exception):
    """A one-line description of what is wrong with a notebook."""


def read(path: Path) -> Notebook:
    """Read a notebook; raise `NotebookError` if the file is not one."""
    from nbformat.v4 import reads

    try:
        notebook = reads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotebookError(f"{path}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise NotebookError(f"{path}: not a notebook: {error}") from error
    if notebook.get("nbformat") != 4:
        raise NotebookError(f"{path}: not a notebook of format 4: found format {notebook.get('nbformat')}")
    return notebook


def serialise(notebook: Notebook) -> str:
    """A notebook as the text of its file: sorted keys, one line of source per line, a newline at the end."""
    from nbformat import from_dict, v4

    return v4.writes(from_dict(notebook)) + "\n"


def normalise(notebook: Notebook) -> Notebook:
    """A copy of the notebook with only what a reader sees and a second run reproduces.

    No widget state, times, or versions of Python and matplotlib; cells are numbered from 1 and have readable ids.
    Outputs that answer a question ("Predict, then run") are folded until the cell is run, and so are the sources of
    cells tagged `hide-input`.
    """
    notebook = copy.deepcopy(notebook)
    notebook.update(nbformat=4, nbformat_minor=5, metadata=copy.deepcopy(METADATA))
    _name_cells(notebook["cells"])
    answers = {cell["id"] for cell in after_questions(notebook)}
    for cell in notebook["cells"]:
        _fold(cell, answers)
        kept = {key: value for key, value in cell["metadata"].items() if key in CELL_METADATA and value not in ([], {})}
        cell.update(metadata=kept, source=cell["source"].strip("\n"))
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell["execution_count"] = count
        cell["outputs"] = [_normalised_output(output, count) for output in _merged_streams(cell["outputs"])]
    return notebook


def problems(path: Path) -> Iterator[str]:
    """Check the notebook in the file without running it; yield one line per problem, none if it can be committed."""
    notebook = read(path)
    yield from (f"{path}: {problem}" for problem in unfit_outputs(notebook))
    for cell in code_cells(notebook):
        if not cell["source"].strip():
            yield f"{path}: {cell.get('id')}: an empty code cell"
        elif cell.get("execution_count") is None:
            yield f"{path}: {cell.get('id')}: not executed"
    normalised = normalise(notebook)
    if path.read_text(encoding="utf-8") != serialise(normalised):
        pairs = zip(notebook["cells"], normalised["cells"], strict=True)
        where = next((f"from cell {before.get('id')} on" for before, after in pairs if before != after), "its metadata")
        yield f"{path}: not normalised, {where}: run `make notebooks`"


def keep_unstable_outputs(new: Notebook, old: Notebook) -> None:
    """Restore the old outputs that differ from run to run, down to the first edited code cell."""
    for cell, before in zip(code_cells(new), code_cells(old), strict=False):
        if cell["source"] != before["source"]:
            return
        broken = any(output["output_type"] == "error" for output in before["outputs"])
        if UNSTABLE in cell["metadata"].get("tags", []) and before["outputs"] and not broken:
            cell["outputs"] = before["outputs"]


def code_cells(notebook: Notebook) -> list[Cell]:
    """The code cells, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def after_questions(notebook: Notebook) -> Iterator[Cell]:
    """The code cells that answer a question: from a cell tagged `predict` to the text that follows the first output."""
    asked = answered = False
    for cell in notebook["cells"]:
        if "predict" in cell["metadata"].get("tags", []):
            asked, answered = True, False
        elif cell["cell_type"] != "code":
            asked = asked and not answered
        elif asked:
            answered = answered or bool(cell["outputs"])
            yield cell


def unfit_outputs(notebook: Notebook) -> Iterator[str]:
    """Yield one line for each output that shows an error or a path of the machine that ran the notebook."""
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield f"{cell.get('id')}: the output is an error, {output['ename']}"
            shown = {mime: data for mime, data in output.get("data", {}).items() if not mime.startswith("image/")}
            found = MACHINE_PATH.search(output.get("text", "") + "\n".join(map(_text, shown.values())))
            if found:
                yield f"{cell.get('id')}: the output contains a path of this machine, {found.group()}"


def _fold(cell: Cell, answers: set[str]) -> None:
    """Hide an answer's output and the source of a cell tagged `hide-input`; show everything else."""
    hidden = {}
    if cell["id"] in answers and cell.get("outputs"):
        hidden["outputs_hidden"] = True
    if "hide-input" in cell["metadata"].get("tags", []):
        hidden["source_hidden"] = True
    cell["metadata"]["jupyter"] = hidden


def _name_cells(cells: list[Cell]) -> None:
    """Give each cell without a unique readable id one made from its first words; other ids are kept."""
    taken: set[str] = set()
    nameless = []
    for cell in cells:
        name = cell.get("id", "")
        if SLUG.fullmatch(name) and not RANDOM_ID.fullmatch(name) and name not in taken:
            taken.add(name)
        else:
            nameless.append(cell)
    for cell in nameless:
        slug = name = _slug(cell["source"])
        number = 1
        while name in taken:
            number += 1
            name = f"{slug}-{number}"
        taken.add(name)
        cell["id"] = name


def _slug(source: str) -> str:
    """The first words of the first heading or comment, or else of the first line: `## 3. The loss` -> `the-loss`."""
    lines = [line for line in source.splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("#")), lines[0] if lines else "")
    plain = unicodedata.normalize("NFKD", line).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", re.sub(r"^[\W\d_]+", "", plain))
    slug = "-".join(words[:5])[:48].strip("-")
    return slug if slug and not RANDOM_ID.fullmatch(slug) else f"cell-{slug}".strip("-")


def _merged_streams(outputs: list[Notebook]) -> list[Notebook]:
    """Join neighbouring streams, stdout first: how the kernel splits and interleaves them depends on timing."""
    merged: list[Notebook] = []
    open_streams: dict[str, Notebook] = {}
    for output in outputs:
        if output["output_type"] != "stream":
            open_streams = {}
            merged.append(output)
        elif output["name"] in open_streams:
            open_streams[output["name"]]["text"] += output["text"]
        else:
            open_streams[output["name"]] = output
            at = len(merged) - 1 if output["name"] == "stdout" and "stderr" in open_streams else len(merged)
            merged.insert(at, output)
    return merged


def _normalised_output(output: Notebook, count: int) -> Notebook:
    if output["output_type"] == "stream":
        output["text"] = OVERWRITTEN.sub("", output["text"])
    if output["output_type"] == "execute_result":
        output["execution_count"] = count
    data = output.get("data", {})
    if "text/plain" in data:
        data.pop(WIDGET_VIEW, None)  # it refers to a widget of a kernel that is gone; the text describes the widget
    if "image/png" in data:
        data["image/png"] = _without_remarks(data["image/png"])
    return output


def _without_remarks(png: str) -> str:
    """A base64-encoded PNG without its text chunks, in which matplotlib records its version."""
    raw = base64.b64decode(png)
    kept, at = [raw[:8]], 8
    if raw[:8] != PNG_SIGNATURE:
        return png
    while at < len(raw):
        end = at + 12 + int.from_bytes(raw[at : at + 4], "big")  # a chunk: length, name, that many bytes, checksum
        if raw[at + 4 : at + 8] not in PNG_REMARKS:
            kept.append(raw[at:end])
        at = end
    return base64.b64encode(b"".join(kept)).decode("ascii")


def _text(data: object) -> str:
    return data if isinstance(data, str) else json.dumps(data)
