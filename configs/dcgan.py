"""DCGAN on MNIST, 28x28.

Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks (arXiv 1511.06434), in the recipe of the PyTorch DCGAN
example: one shared generator pass, discriminator first, Adam 2e-4 with b1 0.5.

    python -m gan_jax.main --config=configs/dcgan.py
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The default config is this one."""
    return default.get_config()
