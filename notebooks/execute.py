"""Execute the notebooks again and keep their outputs: python -m notebooks.execute [notebook.ipynb …]

Each runs in a Jupyter kernel of this Python, in an empty temporary folder, so that it leaves nothing behind and shows
no path of this machine. A cell that fails or writes to standard error fails the whole, and the file stays as it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

HERE = Path(__file__).resolve().parent

#: Seconds a cell may take: the first start of Ray on a busy machine takes one minute.
PATIENCE = 600


class NotebookError(Exception):
    """A notebook that does not run cleanly; one line and the cell's own words."""


def execute(path: Path, folder: Path) -> Any:
    """The notebook of this file, executed in ``folder``, as an ``nbformat`` node.

    Raises:
        NotebookError: a cell fails, writes to standard error, or shows a path of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    # The kernel finds the project whether it is installed or not, and says nothing of the future of its dependencies.
    found = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    # Over sockets in a folder of this user's own: nobody else on the machine or the network can listen.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        client = NotebookClient(
            notebook,
            timeout=PATIENCE,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise NotebookError(f"{path.name}: {error}") from error
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        for output in cell.get("outputs", ()):
            _without_folder(output, folder)
            _check(output, f"{path.name}, cell {number}")
    return notebook


def _without_folder(output: Any, folder: Path) -> None:
    """The folder's own path out of every text, so that paths are relative to it."""

    def relative(text: str) -> str:
        return text.replace(f"{folder}/", "")

    if "text" in output:
        output["text"] = relative(output["text"])
    for kind, text in output.get("data", {}).items():
        if isinstance(text, str) and kind.startswith("text/"):
            output["data"][kind] = relative(text)


def _check(output: Any, place: str) -> None:
    if output.get("name") == "stderr":
        raise NotebookError(f"{place} writes to standard error: {output['text']}")
    texts = [output.get("text", ""), *(t for k, t in output.get("data", {}).items() if k.startswith("text/"))]
    for here in (str(HERE.parent), tempfile.gettempdir(), str(Path.home())):
        for text in texts:
            if f"{here}/" in text:
                raise NotebookError(f"{place} shows a path of this machine, {here}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("*.ipynb")))
    for path in parser.parse_args().notebooks:
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            try:
                notebook = execute(path, Path(folder).resolve())
            except NotebookError as error:
                sys.exit(f"error: {error}")
        nbformat.write(notebook, path)
        print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells executed")


if __name__ == "__main__":
    main()
