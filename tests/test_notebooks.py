"""The notebooks run from the first cell to the last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    kept, new = nbformat.read(path, as_version=4), nbformat.read(path, as_version=4)
    NotebookClient(new, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert _shown(kept) == _shown(new)


def _shown(notebook):
    """Which kinds of results each cell has: a notebook is kept as it was executed. Messages come and go."""
    return [
        sorted(
            kind
            for output in cell.get("outputs", [])
            if output.output_type == "execute_result"
            for kind in output["data"]
        )
        for cell in notebook.cells
    ]
