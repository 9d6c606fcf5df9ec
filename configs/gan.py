"""The vanilla GAN of dense layers on MNIST, 28x28.

Goodfellow et al. 2014, Generative Adversarial Nets (arXiv 1406.2661), algorithm 1, with
one discriminator update in a step and new latents for the generator's update. Without a
preset, the networks are those of most tutorials (LeakyReLU, tanh, Adam). The preset
`paper` has the networks and optimisers of the paper.

    python -m gan_jax.main --config=configs/gan.py
    python -m gan_jax.main --config=configs/gan.py:paper

The preset follows mnist.yaml of github.com/goodfeli/adversarial: latents uniform in
+-sqrt(3), 50,000 training images, 250 epochs. That code differs in three ways: it takes
both gradients in one pass before either update (--config.recipe.updates=simultaneous),
starts the generator's last bias at the mean image, and has no last step, since its
authors stopped it by hand. The cost of its discriminator is half the loss here, so
under SGD its learning rate of 0.1 corresponds to 0.05.
"""

from ml_collections import ConfigDict

from configs import default

EPOCH = 500  # steps of 100 images in 50,000
MOMENTUM_SGD = {
    "name": "momentum_sgd",
    "learning_rate": 0.1,
    "decay_factor": 1.000004,
    "min_learning_rate": 1e-6,
    "momentum": 0.5,
    "final_momentum": 0.7,
    "momentum_steps": 249 * EPOCH,  # from epoch 1 to 250
}
PRESETS = {
    "paper": {
        "num_train_steps": 250 * EPOCH,
        "eval_every_steps": 25 * EPOCH,
        "batch_size": 100,
        "data.split": "train[:50000]",
        "model.latent_distribution": "uniform",
        "model.generator.features": (1200, 1200),
        "model.generator.activation": "relu",
        "model.generator.output": "sigmoid",
        "model.generator.init_range": 0.05,
        "model.generator.latent_scale": 3**0.5,
        "model.discriminator.features": (240, 240),
        "model.discriminator.activation": "maxout",
        "model.discriminator.pieces": 5,
        "model.discriminator.input_dropout": 0.2,
        "model.discriminator.hidden_dropout": 0.5,
        "model.discriminator.unit_range": True,
        "model.discriminator.init_range": 0.005,
        "optimizer.generator": MOMENTUM_SGD,
        "optimizer.discriminator": {
            **MOMENTUM_SGD,
            "learning_rate": 0.05,
            "min_learning_rate": 5e-7,
        },
    },
}


def get_config(preset: str | None = None) -> ConfigDict:
    """The networks of most tutorials, or the preset `paper`."""
    config = default.get_config()
    config.num_train_steps = 30_000
    default.use_networks(config, "mlp")
    config.recipe.updates = "fresh"
    return default.with_preset(config, PRESETS, preset)
