"""The tool behind `make notebooks`, tested on small notebooks."""

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.notebooks.__main__ import main
from tools.notebooks.form import (
    UNSTABLE,
    WIDGET_VIEW,
    code_cells,
    keep_unstable_outputs,
    normalise,
    problems,
    read,
    serialise,
)

A_PANEL = """
import ipywidgets as widgets
class Panel(widgets.VBox):
    def __repr__(self):
        return "Panel(beta=0.1)"
Panel([widgets.FloatSlider(description="beta")])
"""
A_FIGURE = """
import matplotlib.pyplot as plt
plt.plot([1, 2], [0, 1])
plt.title("Rising")
plt.show()
"""


def write(path: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def normal(*cells: nbformat.NotebookNode) -> list[dict]:
    notebook = new_notebook()
    notebook.cells = list(cells)
    return normalise(notebook)["cells"]


def output_of(*outputs: nbformat.NotebookNode) -> list[dict]:
    return normal(new_code_cell("1", outputs=list(outputs)))[0]["outputs"]


def chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


# Running


@pytest.fixture(scope="module")
def lesson(tmp_path_factory) -> Path:
    """A notebook with difficult outputs, run once: text, a panel, a figure, and an output that never repeats."""
    path = write(
        tmp_path_factory.mktemp("lesson") / "lesson.ipynb",
        new_markdown_cell("# 1. A lesson"),
        new_code_cell("print('one')\nprint('two')\n1 + 1"),
        new_code_cell(A_PANEL.strip()),
        new_code_cell(A_FIGURE.strip()),
        new_code_cell("import time\nprint(time.time_ns())", metadata={"tags": [UNSTABLE]}),
    )
    assert main([str(path)]) == 0
    return path


@pytest.mark.slow
def test_a_lesson_is_executed_and_normalised(lesson):
    assert list(problems(lesson)) == []
    cells = read(lesson)["cells"]
    assert [cell["id"] for cell in cells] == [
        "a-lesson",
        "print-one",
        "import-ipywidgets-as-widgets",
        "import-matplotlib-pyplot-as-plt",
        "import-time",
    ]
    assert [cell["execution_count"] for cell in cells[1:]] == [1, 2, 3, 4]
    stream, result = cells[1]["outputs"]
    assert stream["text"] == "one\ntwo\n"
    assert result["data"] == {"text/plain": "2"}
    assert cells[2]["outputs"][0]["data"] == {"text/plain": "Panel(beta=0.1)"}
    assert b"Matplotlib" not in base64.b64decode(cells[3]["outputs"][0]["data"]["image/png"])
    assert "widgets" not in read(lesson)["metadata"]
    assert sys.version.split()[0] not in lesson.read_text()


@pytest.mark.slow
def test_a_second_run_changes_nothing(lesson, capsys):
    before = lesson.read_bytes()
    assert main([str(lesson)]) == 0
    assert lesson.read_bytes() == before
    assert "nothing changed" in capsys.readouterr().out
    assert [path.name for path in lesson.parent.iterdir()] == ["lesson.ipynb"]


@pytest.mark.slow
def test_fresh_renews_outputs_that_differ_from_run_to_run(lesson):
    before = [cell["outputs"] for cell in code_cells(read(lesson))]
    assert main(["--fresh", str(lesson)]) == 0
    after = [cell["outputs"] for cell in code_cells(read(lesson))]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, True, False]


@pytest.mark.slow
def test_a_lesson_passes_nbval_strictly_and_planted_faults_do_not(lesson, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    assert subprocess.run([*command, lesson], check=False, capture_output=True).returncode == 0
    faulty, notebook = tmp_path / "faulty.ipynb", read(lesson)
    for cell in code_cells(notebook):
        outputs = json.dumps(cell["outputs"]).replace("two", "too").replace("Panel(beta=0.1)", "Panel(beta=0.2)")
        cell["outputs"] = json.loads(outputs)
    faulty.write_text(serialise(notebook))
    run = subprocess.run([*command, faulty], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "2 failed, 2 passed" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nx / 0", "ZeroDivisionError: division by zero"),
        ("import os; os._exit(3)", "the kernel died"),
        ("import time; time.sleep(60)", "ran for more than 3 s"),
        ("print('/home/somebody/thing')", "a path of this machine, /home/somebody/thing"),
    ],
)
def test_a_failed_cell_is_named_and_the_file_is_unchanged(source, message, tmp_path, capsys):
    path = write(tmp_path / "bad.ipynb", new_code_cell("1", id="good"), new_code_cell(source, id="the-bad-one"))
    before = path.read_bytes()
    assert main(["--timeout", "3", str(path)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert str(path) in said
    assert "the-bad-one" in said
    assert message in said
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ipynb"]


@pytest.mark.slow
def test_one_bad_notebook_does_not_stop_the_next(tmp_path, capsys):
    missing, good = tmp_path / "missing.ipynb", write(tmp_path / "good.ipynb", new_code_cell("1"))
    assert main([str(missing), str(good)]) == 1
    assert capsys.readouterr().err == f"{missing}: No such file or directory\n"
    assert list(problems(good)) == []


@pytest.mark.slow
def test_the_kernel_is_this_interpreter_in_the_notebooks_folder_offline(tmp_path, monkeypatch):
    """Even if the user has installed a kernel of the same name."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "trap", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    source = f"""
import os, sys
assert sys.executable == {sys.executable!r}
assert os.getcwd() == {os.fspath(tmp_path.resolve())!r}
assert os.environ["HF_HUB_OFFLINE"] == "1"
"""
    assert main([str(write(tmp_path / "where.ipynb", new_code_cell(source)))]) == 0


# The normal form


def test_readable_ids_are_kept_and_random_ones_replaced():
    cells = normal(
        new_markdown_cell("## 3. The loss, step by step, on four examples", id="1a2b3c4d"),
        new_markdown_cell("Anything", id="the-closed-form"),
        new_markdown_cell("Twice the same id", id="the-closed-form"),
        new_code_cell("# the loss, step by step, again\nx = 1", id="0f9e8d7c-6b5a-4f3e-9d2c-1b0a9f8e7d6c"),
        new_code_cell("β = 0.1", id="AbC_1"),
        new_markdown_cell("", id="deadbeef"),
    )
    assert [cell["id"] for cell in cells] == [
        "the-loss-step-by-step",
        "the-closed-form",
        "twice-the-same-id",
        "the-loss-step-by-step-2",
        "cell",
        "cell-2",
    ]


def test_an_old_notebook_without_ids_gets_them():
    cell = {"cell_type": "markdown", "metadata": {}, "source": "# Hello"}
    old = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]})
    new = normalise(old)
    assert new["cells"][0]["id"] == "hello"
    nbformat.validate(nbformat.from_dict(new))


def test_metadata_of_machine_and_time_is_removed_and_tags_are_kept():
    notebook = new_notebook(
        metadata={"widgets": {"state": {}}, "kernelspec": {"name": "mine", "display_name": "Mine"}},
        cells=[
            new_code_cell(
                "1",
                metadata={
                    "tags": [UNSTABLE],
                    "execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"},
                    "scrolled": True,
                    "jupyter": {"source_hidden": True, "outputs_hidden": True},
                    "editable": False,
                },
            ),
            new_code_cell("2", metadata={"tags": []}),
        ],
    )
    new = normalise(notebook)
    assert new["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(new["metadata"]) == {"kernelspec", "language_info"}
    assert "version" not in new["metadata"]["language_info"]
    kept = {
        "tags": [UNSTABLE],
        "jupyter": {"source_hidden": True, "outputs_hidden": True},
        "editable": False,
    }
    assert [cell["metadata"] for cell in new["cells"]] == [kept, {}]


def test_neighbouring_streams_are_joined_with_stdout_first():
    def out(text):
        return new_output("stream", name="stdout", text=text)

    def err(text):
        return new_output("stream", name="stderr", text=text)

    shown = new_output("display_data", data={"text/plain": "a figure"})
    outputs = output_of(err("e1\n"), out("a\n"), err("e2\n"), out("b\n"), shown, out("c\n"))
    assert [output.get("text", "shown") for output in outputs] == ["a\nb\n", "e1\ne2\n", "shown", "c\n"]


def test_a_progress_bar_keeps_its_last_state():
    (output,) = output_of(new_output("stream", name="stderr", text=" 0%\r 50%\r100%\ndone\n"))
    assert output["text"] == "100%\ndone\n"


def test_a_widget_view_is_removed_only_if_there_is_text():
    view = {"model_id": "abc", "version_major": 2, "version_minor": 0}
    with_text, alone = output_of(
        new_output("execute_result", data={WIDGET_VIEW: view, "text/plain": "Panel"}, execution_count=9),
        new_output("display_data", data={WIDGET_VIEW: view}),
    )
    assert with_text["data"] == {"text/plain": "Panel"}
    assert with_text["execution_count"] == 1
    assert alone["data"] == {WIDGET_VIEW: view}


def test_a_png_loses_only_its_text_chunks():
    signature, header, pixels, end = (
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", b"size"),
        chunk(b"IDAT", b"!"),
        chunk(b"IEND", b""),
    )
    signed = signature + header + chunk(b"tEXt", b"Software\0Matplotlib 3.11") + pixels + chunk(b"tIME", b"now") + end
    (output,) = output_of(new_output("display_data", data={"image/png": base64.b64encode(signed).decode()}))
    assert base64.b64decode(output["data"]["image/png"]) == signature + header + pixels + end


def test_normalising_is_idempotent():
    once = normalise(new_notebook(cells=[new_markdown_cell("# A"), new_code_cell("# A\n1\n\n")]))
    assert serialise(normalise(once)) == serialise(once)
    assert serialise(once).endswith("}\n")


def test_normalising_does_not_modify_its_argument():
    notebook = new_notebook(cells=[new_code_cell("1", metadata={"scrolled": True})])
    before = serialise(notebook)
    normalise(notebook)
    assert serialise(notebook) == before


@pytest.mark.parametrize(("edited", "kept"), [(None, [True, True]), (2, [True, False]), (0, [False, False])])
def test_old_outputs_are_kept_down_to_the_first_edit(edited, kept):
    def run(text):
        outputs = [new_output("stream", name="stdout", text=text)]
        tagged = {"metadata": {"tags": [UNSTABLE]}, "outputs": outputs}
        cells = [
            new_code_cell("a = 1"),
            new_code_cell("f(a)", **tagged),
            new_code_cell("b"),
            new_code_cell("g", **tagged),
        ]
        return normalise(new_notebook(cells=cells))

    old, new = run("before"), run("after")
    if edited is not None:
        new["cells"][edited]["source"] += "  # edited"
    keep_unstable_outputs(new, old)
    assert [new["cells"][at]["outputs"][0]["text"] == "before" for at in (1, 3)] == kept


def test_an_old_error_is_not_kept():
    tagged = {"metadata": {"tags": [UNSTABLE]}}
    error = new_output("error", ename="E", evalue="", traceback=[])
    old = normalise(new_notebook(cells=[new_code_cell("f()", outputs=[error], **tagged)]))
    new = normalise(new_notebook(cells=[new_code_cell("f()", **tagged)]))
    keep_unstable_outputs(new, old)
    assert new["cells"][0]["outputs"] == []


# --check


def fit(*cells: nbformat.NotebookNode) -> dict:
    return normalise(new_notebook(cells=[new_markdown_cell("# Title"), new_code_cell("x = 1", id="one"), *cells]))


def test_check_prints_nothing_about_a_normalised_notebook(tmp_path, capsys):
    path = tmp_path / "fit.ipynb"
    path.write_text(serialise(fit()))
    assert main(["--check", str(path)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda nb: nb["cells"][1].update(execution_count=None), "one: not executed"),
        (lambda nb: nb["cells"][1].update(execution_count=7), "not normalised, from cell one on"),
        (lambda nb: nb["cells"][1].update(id="0123abcd"), "not normalised, from cell 0123abcd on"),
        (lambda nb: nb["cells"][1].update(source=" "), "an empty code cell"),
        (lambda nb: nb["cells"][1]["metadata"].update(scrolled=True), "not normalised"),
        (lambda nb: nb["metadata"].update(widgets={}), "not normalised, its metadata"),
        (
            lambda nb: nb["cells"][1]["outputs"].append(new_output("error", ename="KeyError", evalue="", traceback=[])),
            "one: the output is an error, KeyError",
        ),
        (
            lambda nb: nb["cells"][1]["outputs"].append(
                new_output("stream", name="stderr", text="at /tmp/x.py:3: bad")
            ),
            "one: the output contains a path of this machine, /tmp/x.py:3:",
        ),
        (
            lambda nb: nb["cells"][1]["outputs"].append(
                new_output("display_data", data={"text/html": "<img src='file:///Users/me/a.png'>"})
            ),
            "/Users/me/a.png",
        ),
    ],
)
def test_check_reports_problems_and_changes_nothing(plant, message, tmp_path, capsys):
    path, notebook = tmp_path / "odd.ipynb", fit()
    plant(notebook)
    path.write_text(serialise(notebook))
    before = path.read_bytes()
    assert main(["--check", str(path)]) == 1
    assert message in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["https://example.org/home/page", "and/or/opt/in", "a ratio of 1/2", "~/data/x"])
def test_text_that_only_resembles_a_path_is_allowed(text, tmp_path):
    path = tmp_path / "fit.ipynb"
    path.write_text(serialise(fit(new_code_cell("2", outputs=[new_output("stream", name="stdout", text=text)]))))
    assert list(problems(path)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nbformat": 3, "cells": [], "metadata": {}}'])
def test_a_file_that_is_not_a_notebook_is_reported_in_one_line(text, tmp_path, capsys):
    path = tmp_path / "none.ipynb"
    path.write_text(text)
    assert main([str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: not a notebook")
    assert said.count("\n") == 1
    assert path.read_text() == text


def test_without_the_dev_extra_the_error_names_the_missing_package(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert main([str(tmp_path / "any.ipynb")]) == 1
    assert "nbclient is not installed" in capsys.readouterr().err
