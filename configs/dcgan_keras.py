"""DCGAN on MNIST, 28x28, as the Keras books build it.

Atienza 2018, Advanced Deep Learning with Keras, chapter 4, dcgan-mnist: a dense first
layer, 5x5 kernels, sigmoid output and no BatchNorm in the discriminator. Real and fake
images share a discriminator batch, and the generator's update takes new uniform
latents. The book trains for 40,000 steps of RMSprop, with half the discriminator's
learning rate for the generator.

    python -m gan_jax.main --config=configs/dcgan_keras.py

Differences: the book averages the loss over real and fake images, while this config
adds the two means, which makes no difference under RMSprop. The book makes the
discriminator's fake images with BatchNorm's running statistics, and draws real images
with replacement.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str | None = None) -> ConfigDict:
    """The book's config; it has no presets."""
    config = default.get_config()
    config.num_train_steps = 2_000  # about 20 minutes on two cores; book: 40,000
    config.batch_size = 64
    default.use_networks(config, "keras_dcgan")
    config.model.latent_distribution = "uniform"
    config.recipe.updates = "fresh"
    config.recipe.discriminator_batches = "joint"
    config.optimizer.generator = ConfigDict(
        {"name": "keras_rmsprop", "learning_rate": 1e-4, "decay": 3e-8}
    )
    config.optimizer.discriminator = ConfigDict(
        {"name": "keras_rmsprop", "learning_rate": 2e-4, "decay": 6e-8}
    )
    return default.with_preset(config, {}, preset)
