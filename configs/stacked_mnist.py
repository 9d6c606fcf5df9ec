"""DCGAN on stacked MNIST, whose 1,000 modes a GAN without packing loses.

Lin et al. 2018, PacGAN (arXiv 1712.04086), section 4.2 and table 2: batches of 64,
latents uniform in [-1, 1), Adam 2e-4 with b1 0.5, one discriminator and two generator
updates in a step, 50 epochs of 128,000 images, and 26,000 samples judged by a digit
classifier. --config.recipe.packing=m gives their PacDCGAN m.

    python -m gan_jax.main --config=configs/stacked_mnist.py --config.recipe.packing=2

Differences: maps of 28x28 pixels are halved twice, and four times in the paper. The
classifier reads 99.59 % of the test digits correctly, the paper's about 99.25 %. The
config has not been run to its end.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(preset: str | None = None) -> ConfigDict:
    """The paper's setting; it has no presets."""
    config = default.get_config()
    config.num_train_steps = 100_000
    config.batch_size = 64
    config.eval_every_steps = 10_000
    config.checkpoint_every_steps = 2_500
    config.sample_every_steps = 2_500
    config.data.name = "stacked_mnist"
    config.data.channels = 3
    config.data.num_classes = 1_000
    config.model.latent_distribution = "uniform"
    config.recipe.updates = "fresh"
    config.recipe.generator_steps = 2
    config.evaluation.extractor = "stacked_mnist"
    config.evaluation.metrics = "stacked_modes"
    config.evaluation.num_images = 26_000
    return default.with_preset(config, {}, preset)
