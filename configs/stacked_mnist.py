r"""DCGAN on stacked MNIST, whose 1,000 modes a GAN without packing loses.

Lin et al. 2018, PacGAN (arXiv 1712.04086), section 4.2 and table 2: batches of 64,
latents uniform in [-1, 1), Adam 2e-4 with b1 0.5, one discriminator and two generator
updates in a step, 50 epochs of 128,000 images, and 26,000 samples judged by a digit
classifier. --config.recipe.packing=m gives their PacDCGAN m.

    python -m gan_jax.main --config=configs/stacked_mnist.py --config.recipe.packing=2
    python -m gan_jax.main --config=configs/stacked_mnist.py:authors \
        --config.recipe.packing=2

Without a preset the networks are the default's: maps of 28x28 pixels are halved twice,
and four times in the paper; the data span [-1, 1]; each generator update has latents of
its own. The preset `authors` is what the authors' code does (fjxmlzn/PacGAN on GitHub,
stacked_MNIST_experiments/VEEGAN_experiment): their networks, data in [0, 1] under a
tanh generator, one batch of latents for all updates of a step, and digits drawn from
all 70,000 images, so that the digits of the test are among those that it trains on.

Differences that are left: the code goes through its images in the same order in each
epoch, draws the packs once, and moves the generator's running statistics in the
discriminator's update too. The classifier reads 99.59 % of the test digits correctly,
the paper's about 99.25 %. Neither has been run to its end.
"""

from ml_collections import ConfigDict

from configs import default

PRESETS = {
    "authors": {
        "data.split": "train+test",
        "model.name": "pacgan",
        "model.generator": {
            "features": 64,
            "condition": "none",
            "norm_momentum": 0.9,
        },
        "model.discriminator": {"features": 64, "condition": "none"},
        "recipe.updates": "same_latents",
    },
}


def get_config(preset: str | None = None) -> ConfigDict:
    """The paper's setting, or the preset `authors`."""
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
    return default.with_preset(config, PRESETS, preset)
