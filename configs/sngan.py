"""Residual GANs on CIFAR-10, 32x32, and on CelebA, 64x64: SNGAN, cGAN-PD and WGAN-GP.

Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks (arXiv
1802.05957), in the setting of Lee and Town 2020, Mimicry (arXiv 2005.02494, code
kwotsin/mimicry on GitHub): batches of 64, five discriminator updates in a step, Adam
2e-4 with b1 0 and b2 0.9, rates that fall linearly to 0 in 100,000 steps, and FID of
50,000 generated against 50,000 real images.

    python -m gan_jax.main --config=configs/sngan.py
    python -m gan_jax.main --config=configs/sngan.py:cifar10
    python -m gan_jax.main --config=configs/sngan.py:projection
    python -m gan_jax.main --config=configs/sngan.py:wgan_gp
    python -m gan_jax.main --config=configs/sngan.py:dcgan
    python -m gan_jax.main --config=configs/sngan.py:celeba64
    python -m gan_jax.main --config=configs/sngan.py:mnist

The presets differ in loss, norm and labels:

- cifar10: spectral norm, hinge loss and no labels. This is the default preset.
- projection: the same with conditional BatchNorm and projection (Miyato and Koyama
  2018, cGANs with Projection Discriminator, arXiv 1802.05637).
- wgan_gp: Gulrajani et al. 2017, Improved Training of Wasserstein GANs (arXiv
  1704.00028): no norm in the discriminator, and the mean of its last map.
- dcgan: no norm, non-saturating loss and images in [0, 1], called DCGAN by Mimicry.
- celeba64: as cifar10, with the networks for 64 pixels, on all splits of CelebA. The
  code crops a square of 178 pixels.
- mnist: MNIST at 32x32, with an eighth of the widths, one discriminator update in a
  step and 2,000 steps. It is no published setting, but its data are at hand.

Mimicry's code updates the generator first, draws biases at random, and starts the 1x1
convolutions of WGAN-GP from PyTorch's default. Neither CIFAR-10 nor CelebA was at hand:
only `mnist` was tried, for 1,100 of its 2,000 steps: after 400 it draws strokes like a
digit's.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import default

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cifar10": {},
    "projection": {
        "model.generator.condition": "batch_norm",
        "model.discriminator.condition": "projection",
    },
    "wgan_gp": {
        "recipe.loss": "wasserstein",
        "recipe.penalty": "wgan_gp",
        "model.discriminator.norm": "none",
        "model.discriminator.pooling": "mean",
    },
    "dcgan": {
        "recipe.loss": "non_saturating",
        "model.generator.output": "sigmoid",
        "model.discriminator.norm": "none",
        "model.discriminator.unit_range": True,
    },
    "celeba64": {
        "data.name": "celeb_a",
        "data.split": "train+validation+test",
        "data.image_size": 64,
        "data.crop": 178,
        "data.num_classes": 1,
        "evaluation.split": "train+validation+test",
        "model.generator.features": (1024, 512, 256, 128, 64),
        "model.discriminator.features": (64, 128, 256, 512, 1024),
        "model.discriminator.halvings": 5,
    },
    "mnist": {
        "num_train_steps": 2_000,
        "eval_every_steps": 0,
        "checkpoint_every_steps": 500,
        "data.name": "mnist",
        "data.channels": 1,
        "model.generator.features": (32, 32, 32, 32),
        "model.discriminator.features": (16, 16, 16, 16),
        "recipe.discriminator_steps": 1,
        "recipe.ema_decay": 0.99,
        "evaluation.split": "test",
        "evaluation.num_images": 10_000,
    },
}


def get_config(preset: str | None = "cifar10") -> ConfigDict:
    """The config of a preset."""
    config = default.get_config()
    config.num_train_steps = 100_000
    config.batch_size = 64
    config.eval_every_steps = 0  # no extractor for photographs is shipped
    config.checkpoint_every_steps = 5_000
    config.sample_rows = 10
    config.data.name = "cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    default.use_networks(config, "resnet")
    config.model.latent_size = 128
    config.model.generator.upsampling = "bilinear"
    config.recipe.updates = "fresh"
    config.recipe.discriminator_steps = 5
    config.recipe.loss = "hinge"
    config.optimizer.schedule = "linear"
    config.optimizer.decay_share = 1.0
    for network in ("generator", "discriminator"):
        config.optimizer[network].b1 = 0.0
        config.optimizer[network].b2 = 0.9
    config.evaluation.extractor = "pixels"
    config.evaluation.metrics = "cheap"
    config.evaluation.num_images = 50_000
    config.evaluation.split = "train"
    return default.with_preset(config, PRESETS, preset)
