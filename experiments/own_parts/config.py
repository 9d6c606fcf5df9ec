"""Own parts of every kind in one run: dense networks draw discs of 16 pixels.

    python -m gan_jax.main --config=experiments/own_parts/config.py
        --workdir=runs/own_parts

The networks' sections have the attributes of the own networks, so the command line sets
them: --config.model.generator.width=128.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """A run of 500 steps."""
    config = default.get_config()
    config.num_train_steps = 500
    config.log_every_steps = 100
    config.sample_every_steps = 500
    config.checkpoint_every_steps = 500
    config.eval_every_steps = 500
    config.batch_size = 64
    config.data.name = "experiments.own_parts.discs:source"
    config.data.image_size = 16
    config.data.num_classes = 0
    config.model.latent_size = 16
    default.use_networks(config, "experiments.own_parts.networks:pair")
    config.recipe.loss = "experiments.own_parts.loss:centred"
    config.recipe.penalty = "experiments.own_parts.penalty:halfway"
    config.recipe.penalty_weight = 0.1
    config.evaluation.extractor = "pixels"
    config.evaluation.metrics = "frechet_distance,experiments.own_parts.metric:area"
    config.evaluation.num_images = 500
    return config
