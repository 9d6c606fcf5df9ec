"""Conditional GANs: the DCGAN of configs/dcgan.py, told the digit or an attribute.

    python -m gan_jax.main --config=configs/cgan.py:onehot
    python -m gan_jax.main --config=configs/cgan.py:embedding
    python -m gan_jax.main --config=configs/cgan.py:projection
    python -m gan_jax.main --config=configs/cgan.py:acgan
    python -m gan_jax.main --config=configs/cgan.py:celeba
    python -m gan_jax.main --config=configs/cgan.py:paper

The presets differ in how the label enters; projection also has another norm and loss:

- onehot: the one-hot label is appended to the latents and, through a dense layer,
  becomes one more image channel (Mirza and Osindero 2014, Conditional Generative
  Adversarial Nets, arXiv 1411.1784, with dense networks). This is the default preset.
- embedding: as onehot, with a learned vector for each class as the label's code.
- projection: conditional BatchNorm and a projection discriminator (Miyato and Koyama
  2018, cGANs with Projection Discriminator, arXiv 1802.05637), with the spectral
  normalisation and hinge loss of the paper. With BatchNorm and the loss of the other
  presets, the discriminator wins. The paper's ResNets and five discriminator steps are
  not used.
- acgan: an auxiliary classifier in the discriminator (Odena et al. 2017, Conditional
  Image Synthesis with Auxiliary Classifier GANs, arXiv 1610.09585).
- celeba: as onehot, for faces of 64x64 and the attribute Smiling, without dense hidden
  layers; --config.data.label names another attribute. CelebA itself was not at hand. On
  drawn faces the label is hardly obeyed after 1,500 steps: see experiments/all_configs.
- paper: the dense maxout networks of Mirza and Osindero, section 4.1, with their SGD,
  batches of 100 and dropout. They stop where the log-likelihood of validation images
  is best and name no number of epochs: here it is 250. What else they leave open is as
  in the preset `paper` of configs/gan.py, the scale of the latents and the range of the
  initial kernels among it. Images are drawn with dropout too, which the paper does not
  say: one generator of three came to ignore its latents, and without dropout each label
  gave a single image. Their latents are uniform in [0, 1), which the biases can undo.

Row r of the sample grid is class r modulo the number of classes. The averaged generator
draws it; the raw one is kept beside it. The networks of the presets for MNIST are those
of configs/dcgan.py without a preset, with half as many dense units. After their 6,000
steps, 24 minutes on one core beside other work, 99.1 % (projection) to 99.7 % (acgan)
of the digits are read as asked: see experiments/conditional_mnist.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import dcgan, default, gan
from gan_jax import models

MLP = models.default_options("mlp")
MOMENTUM_SGD = {**gan.MOMENTUM_SGD, "decay_factor": 1.00004}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "onehot": {
        "model.generator.condition": "onehot",
        "model.discriminator.condition": "onehot",
    },
    "embedding": {
        "model.generator.condition": "embedding",
        "model.discriminator.condition": "embedding",
    },
    "projection": {
        "model.generator.condition": "batch_norm",
        "model.discriminator.condition": "projection",
        "model.discriminator.norm": "spectral",
        "recipe.loss": "hinge",
    },
    "acgan": {
        "model.generator.condition": "onehot",
        "model.discriminator.condition": "auxiliary",
    },
    "celeba": {
        **dcgan.RGB_64,
        "data.name": "celeb_a",
        "data.label": "Smiling",
        "data.num_classes": 2,
        "num_train_steps": 32_000,
        "model.generator.hidden_dense": 0,
        "model.discriminator.hidden_dense": 0,
        "model.generator.condition": "onehot",
        "model.discriminator.condition": "onehot",
    },
    "paper": {
        "num_train_steps": 250 * gan.EPOCH,
        "eval_every_steps": 25 * gan.EPOCH,
        "batch_size": 100,
        "data.split": "train[:50000]",
        "model.name": "mlp",
        "model.latent_distribution": "uniform",
        "model.generator": {
            **MLP["generator"],
            "input_branch": 200,
            "label_branch": 1000,
            "features": (1200,),
            "condition": "onehot",
            "activation": "relu",
            "hidden_dropout": 0.5,
            "test_dropout": True,
            "output": "sigmoid",
            "init_range": 0.05,
            "latent_scale": 3**0.5,
        },
        "model.discriminator": {
            **MLP["discriminator"],
            "input_branch": 240,
            "label_branch": 50,
            "branch_pieces": 5,
            "features": (240,),
            "pieces": 4,
            "condition": "onehot",
            "activation": "maxout",
            "hidden_dropout": 0.5,
            "unit_range": True,
            "init_range": 0.005,
        },
        "recipe.updates": "fresh",
        "recipe.ema_decay": 0.0,
        "optimizer.schedule": "constant",
        "optimizer.generator": MOMENTUM_SGD,
        "optimizer.discriminator": {
            **MOMENTUM_SGD,
            "learning_rate": 0.05,
            "min_learning_rate": 5e-7,
        },
        "evaluation.metrics": "frechet_distance,label_accuracy,parzen_log_likelihood",
    },
}


def get_config(preset: str | None = "onehot") -> ConfigDict:
    """The config of a preset."""
    config = default.get_config()
    config.num_train_steps = 6_000
    config.eval_every_steps = 2_000
    config.model.generator.features = 32
    config.model.discriminator.features = 32
    config.model.generator.hidden_dense = 256
    config.model.discriminator.hidden_dense = 256
    config.recipe.ema_decay = 0.999
    config.optimizer.schedule = "linear"  # over the second half of the run
    config.optimizer.generator.learning_rate = 4e-4
    config.optimizer.discriminator.learning_rate = 4e-4
    config.sample_rows = 10
    return default.with_preset(config, PRESETS, preset)
