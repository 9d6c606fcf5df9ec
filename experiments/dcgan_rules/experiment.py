"""Which of the DCGAN paper's guidelines matter on MNIST: one broken at a time."""

from experiments.engine.spec import (
    REAL,
    UNTRAINED,
    Column,
    Experiment,
    Overrides,
    Part,
    Threshold,
    against,
)

# A DCGAN that draws digits after half a minute on two cores.
SMALL = {
    "model.generator.features": 16,
    "model.discriminator.features": 16,
    "batch_size": 64,
    "num_train_steps": 3_000,
    "eval_every_steps": 500,
    "sample_every_steps": 1_000,
    "checkpoint_every_steps": 1_000,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,prdc,class_distance",
    "evaluation.num_images": 5_000,
}
COLUMNS = (
    Column("frechet_distance", "Fréchet distance", 1),
    Column("precision", "precision", 3),
    Column("recall", "recall", 3),
    Column("density", "density", 3),
    Column("coverage", "coverage", 3),
    Column("class_distance", "class distance", 3),
)
BEGUN = Threshold("frechet_distance", 50.0)  # about where digits can be read
POOLING = {"model.discriminator.downsampling": "max_pool"}
NEAREST = {"model.generator.upsampling": "nearest"}
NO_G_NORM = {"model.generator.norm": "none"}
NO_D_NORM = {"model.discriminator.norm": "none"}


def both(field: str, value: float) -> dict[str, float]:
    """The field of both networks' optimisers."""
    return {f"optimizer.{net}.{field}": value for net in ("generator", "discriminator")}


BASE = "all rules kept"
ROWS: dict[str, Overrides] = {
    BASE: {},
    "no BatchNorm in G": NO_G_NORM,
    "no BatchNorm in D": NO_D_NORM,
    "no BatchNorm": NO_G_NORM | NO_D_NORM,
    "BatchNorm on all layers": {
        "model.generator.norm_ends": True,
        "model.discriminator.norm_ends": True,
    },
    "ReLU in D": {"model.discriminator.activation": "relu"},
    "LeakyReLU in G": {"model.generator.activation": "leaky_relu"},
    "sigmoid output": {"model.generator.output": "sigmoid"},
    "dense hidden layers": {
        "model.generator.hidden_dense": 256,
        "model.discriminator.hidden_dense": 256,
    },
    "Adam with b1 0.9": both("b1", 0.9),
    "learning rate 1e-3": both("learning_rate", 1e-3),
    "learning rate 2e-5": both("learning_rate", 2e-5),
    "max pooling in D": POOLING,
    "nearest upsampling in G": NEAREST,
}

EXPERIMENT = Experiment(
    parts={
        "rules": Part(
            title="One rule broken at a time",
            config="configs/dcgan.py:paper",
            overrides=SMALL,
            rows=ROWS,
            columns=COLUMNS,
            compared=against(BASE, ROWS),
            references=(UNTRAINED, REAL),
            threshold=BEGUN,
            curves=("frechet_distance",),
            grids=True,
        )
    },
)
