"""Losses and penalties, each with the learning rate that the same search gives it."""

from experiments.engine.spec import Column, Experiment, Part, Search, product
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
    "eval_every_steps": 3_000,
    "sample_every_steps": 3_000,
    "checkpoint_every_steps": 3_000,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,prdc,class_distance",
    "evaluation.num_images": 5_000,
}

EXPERIMENT = Experiment(
    title="Losses and penalties at equal search",
    question="Does a loss or a penalty win once each has the learning rate that suits "
    "it?",
    source="Lucic et al. 2018, Are GANs Created Equal? (arXiv 1711.10337) and Kurach "
    "et al. 2019 (arXiv 1807.04720), whose question this is at a far smaller budget",
    answer="On MNIST the losses tie (Fréchet distance [[mnist | minimax, no penalty | "
    "frechet_distance]] to [[mnist | non-saturating, no penalty | frechet_distance]] "
    "for four of six) and R1 improves each; Wasserstein needs a penalty at all",
    learned="""On MNIST four of six losses lie within two standard errors of each
other without a penalty ([[mnist | minimax, no penalty | frechet_distance]], [[mnist |
least squares, no penalty | frechet_distance]], [[mnist | hinge, no penalty |
frechet_distance]] and [[mnist | non-saturating, no penalty | frechet_distance]]),
which is what Lucic et al. found. R1 improves all six, these by about two ([[mnist |
minimax, R1 | frechet_distance]] to [[mnist | least squares, R1 | frechet_distance]]):
the penalty matters more than the loss. The two that stand out without it, Wasserstein
([[mnist | Wasserstein, no penalty | frechet_distance]], whose slope nothing bounds)
and relativistic ([[mnist | relativistic, no penalty | frechet_distance]]), are with
it at [[mnist | Wasserstein, R1 | frechet_distance]] and [[mnist | relativistic, R1 |
frechet_distance]].

On the ring R1 brings five of the six losses to more modes and a smaller reverse KL
(minimax [[ring | minimax, no penalty | reverse_kl]] to [[ring | minimax, R1 |
reverse_kl]], relativistic [[ring | relativistic, no penalty | reverse_kl]] to [[ring
| relativistic, R1 | reverse_kl]]), but not the non-saturating one ([[ring |
non-saturating, no penalty | reverse_kl]] to [[ring | non-saturating, R1 |
reverse_kl]], within the errors). WGAN-GP at weight 1, with one discriminator step
where its paper takes five, is worse than no penalty for three of six.

The search is thin: two rates, one seed, and for nearly all rows the higher rate, so
that the best may lie beyond it. The plots show how far the choice of the rate alone
moves a row, often more than the loss does.""",
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
            runs_per_program=6,
            text="Two layers of 128 a network, BatchNorm in the generator, Adam with "
            "b1 0.5, one shared pass, 5,000 steps of 100 points, penalty weight 1.",
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
            search=Search(rates(2e-4, 1e-3), "frechet_distance", (100,)),
            text="Two layers of 256 a network, 3,000 steps of 64 images, new latents "
            "for the generator's update.",
        ),
    },
    deviations=(
        "Two learning rates and one seed in the search where Lucic et al. draw 100 "
        "settings of all hyper-parameters; five and three seeds for their 50.",
        "Dense networks and the shipped classifier's features: the published FIDs are "
        "not beside the table because nothing of the protocol agrees.",
    ),
)
