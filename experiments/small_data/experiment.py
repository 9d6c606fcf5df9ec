"""Recipes against a discriminator that remembers its images, on a tenth of MNIST."""

from experiments.engine.spec import (
    REAL,
    UNTRAINED,
    Column,
    Experiment,
    Overrides,
    Part,
    against,
)

# A DCGAN of half the default's width without dense layers, at PyTorch's rates. 3,000
# steps are 16 epochs of 6,000 images.
SMALL = {
    "data.split": "train[:6000]",
    "model.generator.features": 16,
    "model.discriminator.features": 16,
    "model.generator.hidden_dense": 0,
    "model.discriminator.hidden_dense": 0,
    "optimizer.generator.learning_rate": 2e-4,
    "optimizer.discriminator.learning_rate": 2e-4,
    "batch_size": 32,
    "num_train_steps": 3_000,
    "log_every_steps": 500,
    "sample_every_steps": 3_000,
    "checkpoint_every_steps": 500,
    "eval_every_steps": 1_500,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,prdc,class_distance",
    "evaluation.num_images": 5_000,
}
PLAIN = {"model.discriminator.norm": "none"}
ROWS: dict[str, Overrides] = {
    "none": {},
    "DiffAugment": {"recipe.augment": "color,translation,cutout"},
    "LeCam": {"recipe.lecam_weight": 0.3},
    "TTUR": {
        "optimizer.generator.learning_rate": 1e-4,
        "optimizer.discriminator.learning_rate": 4e-4,
    },
    "no BatchNorm in D": PLAIN,
    "R3GAN's loss": PLAIN
    | {
        "recipe.loss": "relativistic",
        "recipe.penalty": "r1_r2",
        "recipe.penalty_weight": 1.0,
    },
}

EXPERIMENT = Experiment(
    parts={
        "mnist": Part(
            title="6,000 digits of MNIST, two seeds",
            config="configs/dcgan.py",
            overrides=SMALL,
            rows=ROWS,
            columns=(
                Column("frechet_distance", "Fréchet distance", 2),
                Column("coverage", "coverage", 3),
                Column("class_distance", "class distance", 3),
            ),
            seeds=(0, 1),
            compared=against("none", ROWS) | {"R3GAN's loss": "no BatchNorm in D"},
            references=(UNTRAINED, REAL),
            curves=("frechet_distance", "coverage"),
            grids=True,
        )
    },
)
