"""Whether the order of updates that a source chose changes what it learns."""

from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import (
    REAL,
    UNTRAINED,
    Experiment,
    Overrides,
    Part,
    against,
)

FRESH = {"recipe.updates": "fresh"}
JOINT = {"recipe.discriminator_batches": "joint"}
SLOW_G = {"optimizer.generator.learning_rate": 1e-4}
SLOW_D = {"optimizer.discriminator.learning_rate": 1e-4}
BASE = "shared pass, separate batches"
ROWS: dict[str, Overrides] = {
    BASE: {},
    "new latents for G": FRESH,
    "simultaneous updates": {"recipe.updates": "simultaneous"},
    "joint batches": JOINT,
    "new latents for G, joint batches": FRESH | JOINT,
    "2 steps of D": {"recipe.discriminator_steps": 2},
    "5 steps of D": {"recipe.discriminator_steps": 5},
    "half rate for G": SLOW_G,
    "half rate for D": SLOW_D,
    "half rate for both": SLOW_G | SLOW_D,
}
BOTH = "statistics of all 64 images"
SYNCHRONISED: dict[str, Overrides] = {
    BOTH: {"model.sync_batch_norm": True},
    "statistics of each device's 32": {"model.sync_batch_norm": False},
}

EXPERIMENT = Experiment(
    parts={
        "recipes": Part(
            title="One choice changed at a time",
            config="configs/dcgan.py:paper",
            overrides=dcgan_rules.SMALL,
            rows=ROWS,
            columns=dcgan_rules.COLUMNS,
            compared=against(BASE, ROWS),
            references=(UNTRAINED, REAL),
            threshold=dcgan_rules.BEGUN,
            curves=("frechet_distance",),
            grids=True,
        ),
        "synchronised": Part(
            title="BatchNorm over all devices or on each",
            config="configs/dcgan.py:paper",
            overrides=dcgan_rules.SMALL,
            rows=SYNCHRONISED,
            columns=dcgan_rules.COLUMNS,
            compared=against(BOTH, SYNCHRONISED),
            curves=("frechet_distance",),
        ),
    },
)
