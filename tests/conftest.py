"""Settings of all tests: two CPU devices, strict JAX, small runs on made-up data.

Most of a test's time goes into compiling, so LLVM's optimisations are off, here and in
the processes that tests start. XLA_FLAGS from outside replaces this choice.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

from ml_collections import ConfigDict
import numpy as np
import pytest

from gan_jax.training import train
from tests import support


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs of a file are dropped after it: they add up to gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """An .npz file of 48 images 16x16x1 in three classes, and its cache later."""
    folder = tmp_path_factory.mktemp("shared")
    rng = np.random.default_rng(0)
    size = support.IMAGE_SIZE
    images = rng.integers(0, 256, (48, size, size, 1), np.uint8)
    labels = np.arange(48, dtype=np.int32) % 3
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


@pytest.fixture(scope="session")
def conditional_run(shared_folder, tmp_path_factory):
    """The folder of a finished conditional run with an average; tests only read it."""
    workdir = tmp_path_factory.mktemp("conditional") / "run"
    config = support.make_conditional_config(shared_folder)
    config.recipe.ema_decay = 0.5
    train.train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture
def tiny_config(shared_folder) -> ConfigDict:
    """A run of four steps that takes seconds."""
    return support.make_tiny_config(shared_folder)
