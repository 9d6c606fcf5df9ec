"""What each remedy does to a GAN of the plane that loses modes without one."""

from experiments.engine.spec import (
    REAL,
    UNIFORM,
    Column,
    Experiment,
    Overrides,
    Part,
    against,
)

# Two layers of 128 a network and ten times the rate of PacGAN's protocol, with
# BatchNorm in the generator: on the grid a GAN without a remedy has fewer modes than
# chance.
PLANE = {
    "model.generator.features": (128, 128),
    "model.generator.init_std": 0.0,
    "model.discriminator.features": (128, 128),
    "model.discriminator.activation": "leaky_relu",
    "model.discriminator.init_std": 0.0,
    "recipe.updates": "shared",
    **{
        f"optimizer.{network}.{field}": value
        for network in ("generator", "discriminator")
        for field, value in (("learning_rate", 1e-3), ("b1", 0.5))
    },
    "num_train_steps": 6_000,
    "log_every_steps": 1_000,
    "sample_every_steps": 1_000,
    "checkpoint_every_steps": 3_000,
    "eval_every_steps": 1_000,
    "tensorboard": False,
}
COLUMNS = (
    Column("modes", "modes", 1),
    Column("high_quality", "high quality, %", 1, scale=100),
    Column("reverse_kl", "reverse KL", 2),
)
ROWS: dict[str, Overrides] = {
    "none": {},
    "real label 0.9": {"recipe.real_label": 0.9},
    "instance noise 0.1": {"recipe.instance_noise": 0.1},
    "instance noise 0.5": {"recipe.instance_noise": 0.5},
    "averaged generator, 0.999": {"recipe.ema_decay": 0.999},
    "spectral normalisation": {"model.discriminator.norm": "spectral"},
    "R1, weight 0.1": {"recipe.penalty": "r1", "recipe.penalty_weight": 0.1},
    "R1, weight 1": {"recipe.penalty": "r1", "recipe.penalty_weight": 1.0},
    "PacGAN 2": {"recipe.packing": 2},
    "PacGAN 4": {"recipe.packing": 4},
}

EXPERIMENT = Experiment(
    parts={
        "grid": Part(
            title="The grid of 25 Gaussians, ten seeds",
            config="configs/ring.py:grid",
            overrides=PLANE,
            rows=ROWS,
            columns=COLUMNS,
            seeds=tuple(range(10)),
            compared=against("none", ROWS),
            references=(UNIFORM, REAL),
            runs_per_program=5,
            curves=("modes", "high_quality"),
            grids=True,
        )
    },
)
