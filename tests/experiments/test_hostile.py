"""Hostile files: every reader accepts or refuses them, and does nothing else.

Here each reader gets a few; experiments/faults/fuzz.py gives it thousands.
"""

import shutil

import hypothesis
import pytest

from experiments.faults.hostile import judge, readers
import gan_jax
from gan_jax.formats import weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Pillow's and NumPy's, as for a user
]
FEW = hypothesis.settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def targets(conditional_run):
    generator = weights.to_npz(gan_jax.load(conditional_run))
    return readers.targets(conditional_run, generator)


@pytest.mark.parametrize("name", readers.NAMES)
def test_a_hostile_file_is_accepted_or_refused(targets, name, tmp_path):
    files, read = targets[name]

    @hypothesis.settings(FEW, max_examples=15 if name in readers.SLOW else 60)
    @hypothesis.given(files)
    def read_one(files):
        folder = tmp_path / "case"
        shutil.rmtree(folder, ignore_errors=True)
        path = judge.write(files, folder)
        found = judge.outcome(read, path, folder)
        assert found in ("accepted", "refused")

    read_one()
