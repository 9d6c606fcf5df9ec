"""Whether the order of updates that a source chose changes what it learns."""

from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import Experiment, Part

FRESH = {"recipe.updates": "fresh"}
JOINT = {"recipe.discriminator_batches": "joint"}
SLOW_G = {"optimizer.generator.learning_rate": 1e-4}
SLOW_D = {"optimizer.discriminator.learning_rate": 1e-4}

EXPERIMENT = Experiment(
    title="Recipes of the update",
    question="Does it matter which latents, batches, steps and rates the two updates "
    "of a GAN step take?",
    source="Goodfellow et al. 2014 (arXiv 1406.2661), algorithm 1 (new latents, k "
    "discriminator steps); the PyTorch DCGAN example (one shared generator pass); Lin "
    "et al. 2018 (arXiv 1712.04086), code (simultaneous); Atienza 2018, Advanced Deep "
    "Learning with Keras, chapter 4 (joint batches, generator's rate half as large); "
    "Heusel et al. 2017 (arXiv 1706.08500), who slow down the discriminator instead",
    answer="Half the rate for the generator is not more stable here but the reverse: "
    "[[recipes | half rate for G | frechet_distance]], against "
    "[[recipes | half rate for D | frechet_distance]] with half the rate for the "
    "discriminator and [[recipes | shared pass, separate batches | frechet_distance]] "
    "with equal rates; joint batches fail where the discriminator has BatchNorm",
    learned="""Which latents the two updates take does not matter here: one shared
pass, new latents and simultaneous updates are at [[recipes | shared pass, separate
batches | frechet_distance]], [[recipes | new latents for G | frechet_distance]] and
[[recipes | simultaneous updates | frechet_distance]].

Joint batches fail: noise after 3,000 steps in all six runs ([[recipes | joint batches
| frechet_distance]]). The discriminator has BatchNorm here, and in a joint batch its
statistics are half real and half generated; the generator's update then judges a
batch of generated images alone, under statistics that no discriminator update has
seen. The Keras recipe, whose joint batches train (configs/dcgan_keras.py), has no
BatchNorm in the discriminator.

"Half the learning rate for the generator is more stable" does not hold in this
setting. With it there are no digits yet ([[recipes | half rate for G |
frechet_distance]]), with half the rate for the discriminator the result is better and
varies less over seeds than with equal rates ([[recipes | half rate for D |
frechet_distance]]; the direction of Heusel et al.'s DCGAN rows), and half the rate
for both ([[recipes | half rate for both | frechet_distance]]) lies between. The
discriminator is the stronger player here, and more discriminator steps hurt as well
([[recipes | 2 steps of D | frechet_distance]] with 2, [[recipes | 5 steps of D |
frechet_distance]] with 5, where single seeds work and others do not).

On two devices BatchNorm's statistics over all 64 images ([[synchronised | statistics
of all 64 images | frechet_distance]]) and over each device's 32 ([[synchronised |
statistics of each device's 32 | frechet_distance]]) do equally well; smaller shares
of a batch were not tried.""",
    parts={
        "recipes": Part(
            title="One choice changed at a time",
            config="configs/dcgan.py:paper",
            overrides=dcgan_rules.SMALL,
            rows={
                "shared pass, separate batches": {},
                "new latents for G": FRESH,
                "simultaneous updates": {"recipe.updates": "simultaneous"},
                "joint batches": JOINT,
                "new latents for G, joint batches": FRESH | JOINT,
                "2 steps of D": {"recipe.discriminator_steps": 2},
                "5 steps of D": {"recipe.discriminator_steps": 5},
                "half rate for G": SLOW_G,
                "half rate for D": SLOW_D,
                "half rate for both": SLOW_G | SLOW_D,
            },
            columns=dcgan_rules.COLUMNS,
            curves=("frechet_distance",),
            grids=True,
            text="The base row is that of the PyTorch DCGAN example: the images of one "
            "generator pass serve both updates, the discriminator sees real and "
            "generated images in batches of their own, one update of each at the rate "
            "2e-4. Rows are compared at equal generator steps, so that 5 steps of D "
            "see five times the real images. Half a rate for both tells what is due to "
            "the ratio of the two and what to a slower generator.",
        ),
        "synchronised": Part(
            title="BatchNorm over all devices or on each",
            config="configs/dcgan.py:paper",
            overrides=dcgan_rules.SMALL,
            rows={
                "statistics of all 64 images": {"model.sync_batch_norm": True},
                "statistics of each device's 32": {"model.sync_batch_norm": False},
            },
            columns=dcgan_rules.COLUMNS,
            curves=("frechet_distance",),
            text="This part is run with `JAX_NUM_CPU_DEVICES=2` in the environment: on "
            "a single device both rows are the same run.",
        ),
    },
    deviations=dcgan_rules.DEVIATIONS,
)
