"""Points in the plane: a GAN on a ring of eight Gaussians, or on a grid of 25.

Lin et al. 2018, PacGAN (arXiv 1712.04086), section 4.1 and table 1, with the protocol
of their code: both gradients at the old parameters from one pass, batches of 100, Adam
1e-4 with b1 0.8, 400 epochs of 100,000 points, and 2,500 samples of the generator with
running BatchNorm statistics. --config.recipe.packing=m gives their PacGAN m.

    python -m gan_jax.main --config=configs/ring.py
    python -m gan_jax.main --config=configs/ring.py:grid --config.recipe.packing=2

Differences: BatchNorm's scales start at N(1, 0.02) instead of 1, and its epsilon is
1e-5.
"""

from ml_collections import ConfigDict

from configs import default

EPOCH = 1_000  # steps of 100 points in 100,000
PRESETS = {"grid": {"data.name": "grid", "data.num_classes": 25}}


def get_config(preset: str | None = None) -> ConfigDict:
    """The ring, or the preset `grid`."""
    config = default.get_config()
    config.num_train_steps = 400 * EPOCH
    config.batch_size = 100
    config.steps_per_call = 100
    config.log_every_steps = EPOCH
    config.sample_every_steps = 10 * EPOCH
    config.checkpoint_every_steps = 10 * EPOCH
    config.eval_every_steps = 10 * EPOCH
    config.sample_rows = config.sample_columns = 50  # points of the density picture
    config.data.name = "ring"
    config.data.image_size = 1
    config.data.channels = 2
    config.data.num_classes = 8
    default.use_networks(config, "mlp")
    config.model.latent_size = 2
    config.model.generator.features = (400, 400, 400, 400)
    config.model.generator.activation = "relu"
    config.model.generator.norm = "batch"
    config.model.generator.norm_momentum = 0.95
    config.model.generator.output = "linear"
    config.model.generator.init_std = 0.02
    config.model.discriminator.features = (200, 200, 200)
    config.model.discriminator.activation = "maxout"
    config.model.discriminator.init_std = 0.02
    config.recipe.updates = "simultaneous"
    config.optimizer.generator.learning_rate = 1e-4
    config.optimizer.generator.b1 = 0.8
    config.optimizer.discriminator.learning_rate = 1e-4
    config.optimizer.discriminator.b1 = 0.8
    config.evaluation.extractor = "pixels"
    config.evaluation.metrics = "modes"
    config.evaluation.num_images = 2_500
    config.evaluation.batch_size = 2_500
    return default.with_preset(config, PRESETS, preset)
