"""InfoGAN's networks on MNIST, 28x28, CIFAR-10, 32x32, and CelebA, 64x64.

Lucic et al. 2018, Are GANs Created Equal? (arXiv 1711.10337), compare seven losses with
these networks, which Chen et al. 2016, InfoGAN (arXiv 1606.03657), used with codes. The
setting is that of their code (google/compare_gan on GitHub): batches of 64, 64 latents
uniform in [-1, 1), the non-saturating loss, and this loss's default rate of 5e-5 with
b1 0. Their table has the best of 100 drawn settings of rate and b1 for each loss:
experiments/paper_tables searches a grid.

    python -m gan_jax.main --config=configs/infogan.py
    python -m gan_jax.main --config=configs/infogan.py:mnist
    python -m gan_jax.main --config=configs/infogan.py:fashion_mnist
    python -m gan_jax.main --config=configs/infogan.py:cifar10
    python -m gan_jax.main --config=configs/infogan.py:celeba

The presets are the paper's data sets with its number of epochs, and `mnist` is the
default. CelebA is cropped to 160 pixels, as in the code. Only `mnist` has its data at
hand. It was not run to its end.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import dcgan, default

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {},
    "fashion_mnist": {
        "data.name": "fashion_mnist",
        "evaluation.extractor": "pixels",
        "evaluation.metrics": "cheap",
    },
    "cifar10": {
        **dcgan.RGB_64,
        "data.name": "cifar10",
        "data.image_size": 32,
        "num_train_steps": 78_000,  # 100 epochs
    },
    "celeba": {
        **dcgan.RGB_64,
        "data.name": "celeb_a",
        "data.crop": 160,
        "data.num_classes": 1,
        "num_train_steps": 101_500,  # 40 epochs
    },
}


def get_config(preset: str | None = "mnist") -> ConfigDict:
    """The config of a preset."""
    config = default.get_config()
    config.num_train_steps = 18_750  # 20 epochs
    config.batch_size = 64
    default.use_networks(config, "infogan")
    config.model.latent_size = 64
    config.model.latent_distribution = "uniform"
    for network in ("generator", "discriminator"):
        config.optimizer[network].learning_rate = 5e-5
        config.optimizer[network].b1 = 0.0
    return default.with_preset(config, PRESETS, preset)
