"""Losses and penalties, each with the learning rate that the same search gives it."""

from experiments.engine.spec import (
    HELD_OUT,
    REAL,
    UNIFORM,
    UNTRAINED,
    Column,
    Experiment,
    Part,
    Search,
    product,
)
from experiments.stabilisers import experiment as stabilisers

LOSSES = {
    "non-saturating": {},
    "minimax": {"recipe.loss": "minimax"},
    "least squares": {"recipe.loss": "least_squares"},
    "Wasserstein": {"recipe.loss": "wasserstein"},
    "hinge": {"recipe.loss": "hinge"},
    "relativistic": {"recipe.loss": "relativistic"},
}
PENALTIES = {
    "no penalty": {},
    "R1": {"recipe.penalty": "r1", "recipe.penalty_weight": 1.0},
    "WGAN-GP": {"recipe.penalty": "wgan_gp", "recipe.penalty_weight": 1.0},
}
# Penalties are compared with the loss without one, losses with the usual one.
COMPARED = {
    **{f"{loss}, no penalty": "non-saturating, no penalty" for loss in LOSSES},
    **{
        f"{loss}, {penalty}": f"{loss}, no penalty"
        for loss in LOSSES
        for penalty in ("R1", "WGAN-GP")
    },
}
del COMPARED["non-saturating, no penalty"]


def rates(*values: float) -> dict[str, dict[str, float]]:
    """A choice for each learning rate, that of both networks."""
    return {
        f"{value:g}": {
            f"optimizer.{network}.learning_rate": value
            for network in ("generator", "discriminator")
        }
        for value in values
    }


MNIST = {  # dense nets that train in ten seconds on one core
    "model.generator.features": (256, 256),
    "model.discriminator.features": (256, 256),
    "batch_size": 64,
    "num_train_steps": 3_000,
    "eval_every_steps": 500,
    "sample_every_steps": 3_000,
    "checkpoint_every_steps": 3_000,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,prdc,class_distance",
    "evaluation.num_images": 5_000,
}

EXPERIMENT = Experiment(
    parts={
        "ring": Part(
            title="The ring",
            config="configs/ring.py",
            overrides=stabilisers.PLANE | {"num_train_steps": 5_000},
            rows=product(LOSSES, PENALTIES),
            columns=(
                Column("reverse_kl", "reverse KL", 3),
                Column("modes", "modes", 1),
                Column("high_quality", "high quality, %", 1, scale=100),
            ),
            seeds=(0, 1, 2, 3, 4),
            search=Search(rates(1e-4, 1e-3), "high_quality", (100,)),
            compared=COMPARED,
            references=(UNIFORM, REAL),
            runs_per_program=6,
        ),
        "mnist": Part(
            title="MNIST, dense networks",
            config="configs/gan.py",
            overrides=MNIST,
            rows=product(
                LOSSES, {name: PENALTIES[name] for name in ("no penalty", "R1")}
            ),
            columns=(
                Column("frechet_distance", "Fréchet distance", 1),
                Column("coverage", "coverage", 3),
                Column("class_distance", "class distance", 3),
            ),
            seeds=(0, 1, 2),
            search=Search(rates(2e-4, 1e-3), "frechet_distance", (100,), HELD_OUT),
            compared={row: other for row, other in COMPARED.items() if "GP" not in row},
            references=(UNTRAINED, REAL),
        ),
    },
)
