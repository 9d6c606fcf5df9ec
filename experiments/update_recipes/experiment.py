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
    title="Recipes of the update",
    question="Does it matter which latents, batches, steps and rates the two updates "
    "of a GAN step take?",
    source="Goodfellow et al. 2014 (arXiv 1406.2661), algorithm 1 (new latents, k "
    "discriminator steps); the PyTorch DCGAN example (one shared generator pass); Lin "
    "et al. 2018 (arXiv 1712.04086), code (simultaneous); Atienza 2018, Advanced Deep "
    "Learning with Keras, chapter 4 (joint batches, generator's rate half as large); "
    "Heusel et al. 2017 (arXiv 1706.08500), who slow down the discriminator instead",
    answer="Within 3,000 steps which latents the two updates take makes no difference "
    "that three seeds resolve. Joint batches with BatchNorm in the discriminator give "
    "noise ([[recipes | joint batches | frechet_distance]]), half the rate for the "
    "generator gives strokes rather than digits ([[recipes | half rate for G | "
    "frechet_distance]] for [[recipes | shared pass, separate batches | "
    "frechet_distance]]), and half the rate for the discriminator is not resolved "
    "([[recipes | half rate for D | frechet_distance | difference]])",
    learned="""The table measures how soon a recipe begins as much as where it ends:
after 1,500 steps two of the base row's three seeds have no digits yet, and an
untrained generator's distance is [[recipes | untrained | frechet_distance]].

Which latents the two updates take makes no difference that three seeds resolve: new
latents differ from one shared pass by [[recipes | new latents for G | frechet_distance
| difference]], simultaneous updates by [[recipes | simultaneous updates |
frechet_distance | difference]].

Joint batches give noise after 3,000 steps in all six runs ([[recipes | joint batches |
frechet_distance]] and [[recipes | new latents for G, joint batches |
frechet_distance]]). The discriminator has BatchNorm here, and in a joint batch its
statistics are half real and half generated; the generator's update then judges a batch
of generated images alone, under statistics that no discriminator update has seen. That
is our reading, not something that the table shows. The Keras recipe, whose joint
batches train (configs/dcgan_keras.py), has no BatchNorm in the discriminator.

Half the rate for the generator, which the Keras book recommends for stability, has
strokes on a grey ground rather than digits after 3,000 steps here ([[recipes | half
rate for G | frechet_distance]]); where it ends was not run. Half the rate for the
discriminator is better in the mean, the direction of Heusel et al.'s DCGAN rows, but
[[recipes | half rate for D | frechet_distance | difference]] is not resolved at three
seeds; what the column of steps shows is an earlier start, all three seeds after 1,500
steps for one of the base row's. Not resolved either are half the rate for both
([[recipes | half rate for both | frechet_distance | difference]]), two steps of the
discriminator ([[recipes | 2 steps of D | frechet_distance | difference]]) and five
([[recipes | 5 steps of D | frechet_distance | difference]]): some seeds of these rows
have begun and others have not.

On two devices BatchNorm's statistics over all 64 images ([[synchronised | statistics
of all 64 images | frechet_distance]]) and over each device's 32 ([[synchronised |
statistics of each device's 32 | frechet_distance]]) differ by nothing that three seeds
resolve; smaller shares of a batch were not tried.""",
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
            text="The base row is that of the PyTorch DCGAN example: the images of one "
            "generator pass serve both updates, the discriminator sees real and "
            "generated images in batches of their own, one update of each at the rate "
            "2e-4. Rows are compared at equal generator steps, so that 5 steps of D "
            "see five times the real images. Half a rate for both tells what is due to "
            "the ratio of the two and what to a slower "
            "generator. " + dcgan_rules.EVALUATED,
        ),
        "synchronised": Part(
            title="BatchNorm over all devices or on each",
            config="configs/dcgan.py:paper",
            overrides=dcgan_rules.SMALL,
            rows=SYNCHRONISED,
            columns=dcgan_rules.COLUMNS,
            compared=against(BOTH, SYNCHRONISED),
            curves=("frechet_distance",),
            text="This part is run with `JAX_NUM_CPU_DEVICES=2` in the environment: on "
            "a single device both rows are the same run. Its two devices shared one "
            "core.",
        ),
    },
    deviations=dcgan_rules.DEVIATIONS,
)
