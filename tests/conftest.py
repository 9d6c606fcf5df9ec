"""Settings of all tests: two CPU devices, strict JAX, small runs on made-up data."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

from ml_collections import ConfigDict
import numpy as np
import pytest

from configs import default, gan

IMAGE_SIZE = 16


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """An .npz file of 48 images 16x16x1 in three classes, and its cache later."""
    folder = tmp_path_factory.mktemp("shared")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (48, IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    labels = np.arange(48, dtype=np.int32) % 3
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


@pytest.fixture
def tiny_config(shared_folder) -> ConfigDict:
    """A run of four steps that takes seconds."""
    return make_tiny_config(shared_folder)


def make_dense_config(folder) -> ConfigDict:
    """The same with dense networks, which are compiled in a moment."""
    config = make_tiny_config(folder)
    dense = gan.get_config()
    with config.unlocked():
        config.model.name = "mlp"
        for network in ("generator", "discriminator"):
            config.model[network] = dense.model[network]
            config.model[network].features = (8,)
    return config


def make_tiny_config(folder) -> ConfigDict:
    """The default config, made small, on the data in `folder`."""
    config = default.get_config()
    config.num_train_steps = 4
    config.batch_size = 8
    config.steps_per_call = 2
    config.log_every_steps = 2
    config.sample_every_steps = 2
    config.checkpoint_every_steps = 2
    config.eval_every_steps = 0
    config.sample_rows = config.sample_columns = 2
    config.tensorboard = False
    config.data.name = "array"
    config.data.manual_dir = str(folder / "images.npz")
    config.data.cache_dir = str(folder / "cache")
    config.data.image_size = IMAGE_SIZE
    config.data.num_classes = 3
    config.evaluation.extractor = "pixels"
    config.evaluation.metrics = "frechet_distance"
    config.evaluation.num_images = 20
    config.model.latent_size = 5
    config.model.generator.features = 4
    config.model.discriminator.features = 4
    config.lock()
    return config
