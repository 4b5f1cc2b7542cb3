"""Run a notebook in a kernel of this interpreter and write it back."""

import os
import tempfile
from pathlib import Path

from dpo_teach.runs.atomic_io import atomic_write
from tools.notebooks.form import (
    Notebook,
    NotebookError,
    keep_unstable_outputs,
    normalise,
    read,
    serialise,
    unfit_outputs,
)

__all__ = ["execute", "renew"]


def execute(notebook: Notebook, folder: Path, timeout: int = 600) -> Notebook:
    """Run every code cell in order, in `folder`, and return a copy of the notebook with the outputs.

    Args:
        notebook: as `read` returns it; it is not modified.
        folder: the working directory of the kernel.
        timeout: how long one cell may take, seconds.

    Raises:
        NotebookError: a cell raised, took too long, or killed its kernel; the message names the cell.
    """
    import nbformat
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    copied = nbformat.from_dict(notebook)
    # With no folder to look in, the only kernel is the one of this interpreter, whatever the user has installed.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        copied,
        km=manager,
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # suppresses a warning about listening on this machine
    )
    with tempfile.TemporaryDirectory() as settings:
        offline = {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "CUDA_VISIBLE_DEVICES": "",  # committed outputs are computed on a CPU
            "DPO_TEACH_PROJECTOR": "off",  # and have the usual size
            "IPYTHONDIR": settings,  # without the user's IPython start-up files
        }
        defaults = {"DPO_TEACH_PROGRESS": "off"}  # the caller may set a progress file
        with client.setup_kernel(env=defaults | os.environ | offline, cleanup_kc=True):
            for index, cell in enumerate(copied["cells"]):
                cell.pop("execution_count", None)
                name = f"cell {index} ({cell.get('id', 'no id')})"
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    raise NotebookError(f"{name}: {error.ename}: {_first_line(error.evalue)}") from error
                except CellTimeoutError as error:
                    raise NotebookError(f"{name}: ran for more than {timeout} s") from error
                except DeadKernelError as error:
                    raise NotebookError(f"{name}: the kernel died") from error
    return copied


def renew(path: Path, *, fresh: bool, timeout: int) -> bool:
    """Run the notebook in the file and write it back normalised, completely or not at all.

    Args:
        path: the notebook's file.
        fresh: also renew the outputs that differ from run to run.
        timeout: how long one cell may take, seconds.

    Returns:
        Whether the file changed.

    Raises:
        NotebookError: a cell failed, or an output shows an error or a path of this machine; the file is unchanged.
    """
    import nbformat

    old = read(path)
    try:
        new = normalise(execute(old, path.resolve().parent, timeout))
        if not fresh:
            keep_unstable_outputs(new, normalise(old))
        nbformat.validate(nbformat.from_dict(new))
        unfit = list(unfit_outputs(new))
        if unfit:
            raise NotebookError("; ".join(unfit))
    except NotebookError as error:
        raise NotebookError(f"{path}: {error}; the file is unchanged") from error
    text = serialise(new)
    if text == path.read_text(encoding="utf-8"):
        return False
    atomic_write(path, text)
    return True


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0] or "(no message)"
