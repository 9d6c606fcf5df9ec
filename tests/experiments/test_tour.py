"""The notebook of experiments/tour runs as a reader would run it."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parent.parent.parent / "experiments" / "tour" / "tour.ipynb"
LARGEST = 250_000  # bytes of the file with its pictures
NETWORKS = ("discriminator", "generator")


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_the_notebook_runs_in_a_fresh_kernel(notebook, monkeypatch, tmp_path):
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # the steps need optimised programs
    monkeypatch.delenv("PYTHONPATH", raising=False)  # the first cell finds the clone
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for folder in ("TMPDIR", "IPYTHONDIR"):  # the runs, and what IPython writes
        monkeypatch.setenv(folder, str(tmp_path))
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    client = nbclient.NotebookClient(
        notebook, timeout=540, kernel_name="python3", resources=resources
    )
    client.execute()  # raises if a cell fails

    printed = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stdout"
    )
    for network, other in (NETWORKS, NETWORKS[::-1]):
        assert f"{network}'s update: the {other} is unchanged bit for bit" in printed
    assert "same state after the same step: True" in printed


def test_the_notebook_is_stored_as_it_ran_and_small(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    outputs = [output for cell in cells for output in cell.outputs]

    assert counts == list(range(1, len(cells) + 1))
    assert not [one for one in outputs if one.output_type == "error"]
    assert not [one for one in outputs if one.get("name") == "stderr"]
    assert NOTEBOOK.stat().st_size < LARGEST
