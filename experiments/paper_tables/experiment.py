"""Published tables, most of which take a GPU or a TPU pod; all are ready to run."""

from collections.abc import Sequence
from typing import Any

from configs import gan, sngan
from experiments.engine.spec import (
    HELD_OUT,
    Column,
    Experiment,
    Overrides,
    Part,
    Search,
)

PARZEN = Column("parzen_log_likelihood", "Parzen log-likelihood, nats", 0)
FID = (Column("fid", "FID", 2),)
INCEPTION = {
    "evaluation.extractor": "inception",
    "evaluation.weights": "pt_inception-2015-12-05-6726825d.pth",
    "evaluation.metrics": "frechet_distance",
}
UPDATES = "recipe.discriminator_steps"
MIMICRY = {"eval_every_steps": 100_000, **INCEPTION}
LOSSES: dict[str, Overrides] = {
    "MM GAN": {"recipe.loss": "minimax"},
    "NS GAN": {},
    "LSGAN": {"recipe.loss": "least_squares"},
    "WGAN": {
        "recipe.loss": "wasserstein",
        "recipe.clip_weights": 0.01,
        UPDATES: 5,
    },
    "WGAN-GP": {
        "recipe.loss": "wasserstein",
        "recipe.penalty": "wgan_gp",
        "recipe.updates": "fresh",
        UPDATES: 5,
        "model.discriminator.norm": "none",
    },
    "DRAGAN": {
        "recipe.penalty": "dragan",
        "model.discriminator.norm": "none",
    },
}


def adam(learning_rate: float, b1: float, b2: float) -> dict[str, float]:
    """Both networks' Adam."""
    fields = {"learning_rate": learning_rate, "b1": b1, "b2": b2}
    return {
        f"optimizer.{network}.{name}": value
        for network in ("generator", "discriminator")
        for name, value in fields.items()
    }


def mimicry(data: str, rows: Sequence[str]) -> dict[str, Sequence[str]]:
    """The registry's keys of rows of Mimicry's tables."""
    return {row: (f"mimicry/{data}/{row}/fid",) for row in rows}


def lucic(
    name: str, preset: str, *, steps: int, held_out: Overrides = HELD_OUT
) -> Part:
    """One data set of Lucic et al.'s table; its search chooses on `held_out`.

    The code counts the discriminator's updates, so a loss with five of them in a step
    has a fifth of the steps.
    """

    def length(steps: int) -> Overrides:
        names = ("num_train_steps", "eval_every_steps")
        return dict.fromkeys(names, steps) | {"checkpoint_every_steps": steps // 10}

    return Part(
        title=f"Losses on {name}",
        config=f"configs/infogan.py:{preset}",
        overrides={
            **length(steps),
            "evaluation.num_images": 10_000,
            **INCEPTION,
        },
        rows={
            row: {**fields, **(length(steps // 5) if UPDATES in fields else {})}
            for row, fields in LOSSES.items()
        },
        columns=FID,
        seeds=tuple(range(50)),
        search=Search(
            {
                f"{rate:g}, b1 {b1:g}": adam(rate, b1, 0.999)
                for rate in (1e-5, 5e-5, 2e-4, 1e-3)
                for b1 in (0.0, 0.5, 0.9)
            },
            "fid",
            (100,),
            held_out,
        ),
        runs_per_program=50,
        published={row: (f"lucic/{name}/{row}/fid",) for row in LOSSES},
    )


def stacked(
    title: str,
    preset: str,
    *,
    table: str,
    seeds: int,
    packings: Sequence[int] = (2, 3, 4),
    **fields: Any,
) -> Part:
    """A GAN and PacGANs on stacked MNIST.

    Args:
      title: title of the part.
      preset: preset of configs/stacked_mnist.py.
      table: the rows' keys in the registry begin with pacgan/TABLE/.
      seeds: number of seeds.
      packings: images that the discriminator judges together, a row for each.
      **fields: overrides.
    """
    rows: dict[str, Overrides] = {"DCGAN": {}}
    rows |= {f"PacDCGAN{m}": {"recipe.packing": m} for m in packings}
    return Part(
        title=title,
        config=f"configs/stacked_mnist.py:{preset}",
        overrides={"tensorboard": False, **fields},
        rows=rows,
        columns=(Column("modes", "modes", 1), Column("reverse_kl", "KL", 3)),
        seeds=tuple(range(seeds)),
        published={
            row: tuple(f"pacgan/{table}/{row}/{x}" for x in ("modes", "reverse_kl"))
            for row in rows
        },
        grids=True,
    )


# Seldom, since 250 epochs would save 500 grids and checkpoints of each run.
SELDOM = {
    "tensorboard": False,
    "log_every_steps": gan.EPOCH,
    "sample_every_steps": 25 * gan.EPOCH,
    "checkpoint_every_steps": 25 * gan.EPOCH,
}

EXPERIMENT = Experiment(
    parts={
        "first_gan": Part(
            title="MNIST, the first GAN",
            config="configs/gan.py:paper",
            overrides={**SELDOM, "evaluation.metrics": "parzen_log_likelihood"},
            rows={"Adversarial nets": {}},
            columns=(PARZEN,),
            runs_per_program=3,
            published={"Adversarial nets": ("goodfellow2014/parzen/mnist",)},
            curves=("parzen_log_likelihood",),
            grids=True,
        ),
        "stacked_mnist": stacked(
            "Stacked MNIST, 1,000 modes", "authors", table="stacked", seeds=10
        ),
        "stacked_begun": stacked(
            "Stacked MNIST, the first 30,000 of 100,000 steps",
            "authors",
            table="stacked",
            seeds=3,
            packings=(2,),
            num_train_steps=30_000,
        ),
        "stacked_quarter": stacked(
            "Stacked MNIST, a discriminator of a quarter of the width",
            "quarter",
            table="quarter",
            seeds=50,
        ),
        "stacked_half": stacked(
            "Stacked MNIST, a discriminator of half the width",
            "half",
            table="half",
            seeds=50,
        ),
        "conditional_mnist": Part(
            title="Conditional MNIST",
            config="configs/cgan.py:paper",
            overrides=SELDOM,
            rows={"Conditional adversarial nets": {}},
            columns=(
                PARZEN,
                Column("label_accuracy", "read as asked, %", 1, 100),
            ),
            runs_per_program=3,
            published={"Conditional adversarial nets": ("cgan/parzen/mnist",)},
            curves=("parzen_log_likelihood",),
            grids=True,
        ),
        "celeba64": Part(
            title="CelebA at 64x64",
            config="configs/sngan.py:celeba64",
            overrides=MIMICRY,
            rows={"SNGAN": {}},
            columns=FID,
            runs_per_program=3,
            published=mimicry("celeba64", ["SNGAN"]),
        ),
        "celeba64_dcgan": Part(
            title="CelebA at 64x64, one time-scale",
            config="configs/dcgan.py:celeba",
            overrides={
                "num_train_steps": 70_000,
                "batch_size": 64,
                "eval_every_steps": 70_000,
                "checkpoint_every_steps": 5_000,
                "evaluation.num_images": 50_000,
                "evaluation.split": "train",
                **INCEPTION,
                **adam(5e-4, 0.5, 0.999),
            },
            rows={"DCGAN": {}},
            columns=FID,
            runs_per_program=3,
            published={"DCGAN": ("ttur/celeba/DCGAN/fid",)},
        ),
        "cifar10": Part(
            title="CIFAR-10",
            config="configs/sngan.py:cifar10",
            overrides=MIMICRY,
            rows={
                "DCGAN": sngan.PRESETS["dcgan"],
                "WGAN-GP": sngan.PRESETS["wgan_gp"],
                "SNGAN": sngan.PRESETS["cifar10"],
                "cGAN-PD": sngan.PRESETS["projection"],
            },
            columns=FID,
            runs_per_program=3,
            published=mimicry("cifar10", ["DCGAN"])
            | mimicry("cifar10_50k", ["WGAN-GP", "SNGAN", "cGAN-PD"]),
        ),
        "lucic_mnist": lucic("mnist", "mnist", steps=18_750),  # 20 epochs
        "lucic_fashion": lucic("fashion_mnist", "fashion_mnist", steps=18_750),
        "lucic_cifar10": lucic("cifar10", "cifar10", steps=78_000),  # 100 epochs
        "lucic_celeba": lucic(
            "celeba",
            "celeba",
            steps=101_500,  # 40 epochs
            held_out={"evaluation.split": "validation"},
        ),
    },
    cores=0,
)
