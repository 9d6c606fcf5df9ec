"""Published tables that take a GPU or a TPU pod: ready to run, not run here."""

from collections.abc import Sequence

from configs import cgan
from experiments.engine.spec import (
    HELD_OUT,
    Column,
    Experiment,
    Overrides,
    Part,
    Search,
)

FID = (Column("fid", "FID", 2),)
INCEPTION = {
    "evaluation.extractor": "inception",
    "evaluation.weights": "pt_inception-2015-12-05-6726825d.pth",
    "evaluation.metrics": "frechet_distance",
}
SPECTRAL_HINGE = {
    "model.discriminator.norm": "spectral",
    "recipe.loss": "hinge",
}
WGAN_GP = {
    "recipe.loss": "wasserstein",
    "recipe.penalty": "wgan_gp",
    "model.discriminator.norm": "none",
}
LOSSES: dict[str, Overrides] = {
    "MM GAN": {"recipe.loss": "minimax"},
    "NS GAN": {},
    "LSGAN": {"recipe.loss": "least_squares"},
    "WGAN": {
        "recipe.loss": "wasserstein",
        "recipe.clip_weights": 0.01,
        "recipe.discriminator_steps": 5,
    },
    "WGAN-GP": WGAN_GP | {"recipe.discriminator_steps": 5},
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


def image_set(name: str, size: int, channels: int, classes: int) -> dict[str, object]:
    """The data section of an image set of TFDS."""
    return {
        "data.name": name,
        "data.image_size": size,
        "data.channels": channels,
        "data.num_classes": classes,
    }


CIFAR_10 = image_set("cifar10", 32, 3, 10)
MIMICRY = {
    "num_train_steps": 100_000,
    "batch_size": 64,
    "eval_every_steps": 100_000,
    "checkpoint_every_steps": 5_000,
    "evaluation.num_images": 50_000,
    "evaluation.split": "train",
    **INCEPTION,
}


def mimicry(data: str, rows: Sequence[str]) -> dict[str, Sequence[str]]:
    """The registry's keys of rows of Mimicry's tables."""
    return {row: (f"mimicry/{data}/{row}/fid",) for row in rows}


def lucic(
    name: str,
    data: Overrides,
    *,
    steps: int,
    config: str,
    held_out: Overrides = HELD_OUT,
) -> Part:
    """One data set of Lucic et al.'s table; its search chooses on `held_out`."""
    choices = {
        f"{rate:g}, b1 {b1:g}": adam(rate, b1, 0.999)
        for rate in (1e-5, 5e-5, 2e-4, 1e-3)
        for b1 in (0.0, 0.5, 0.9)
    }
    return Part(
        title=f"Losses on {name}",
        config=config,
        overrides={
            "batch_size": 64,
            "model.latent_size": 64,
            "num_train_steps": steps,
            "eval_every_steps": steps,
            "checkpoint_every_steps": steps // 10,
            "evaluation.num_images": 10_000,
            **data,
            **INCEPTION,
        },
        rows=LOSSES,
        columns=FID,
        seeds=tuple(range(50)),
        search=Search(choices, "fid", (100,), held_out),
        runs_per_program=50,
        published={row: (f"lucic/{name}/{row}/fid",) for row in LOSSES},
    )


EXPERIMENT = Experiment(
    parts={
        "stacked_mnist": Part(
            title="Stacked MNIST, 1,000 modes",
            config="configs/stacked_mnist.py",
            overrides={"tensorboard": False},
            rows={"DCGAN": {}}
            | {f"PacDCGAN{m}": {"recipe.packing": m} for m in (2, 3, 4)},
            columns=(Column("modes", "modes", 1), Column("reverse_kl", "KL", 3)),
            seeds=tuple(range(10)),
            runs_per_program=10,
            published={
                row: tuple(f"pacgan/stacked/{row}/{x}" for x in ("modes", "reverse_kl"))
                for row in ("DCGAN", "PacDCGAN2", "PacDCGAN3", "PacDCGAN4")
            },
        ),
        "celeba64": Part(
            title="CelebA at 64x64",
            config="configs/dcgan.py:celeba",
            overrides={**MIMICRY, "data.crop": 178, "evaluation.statistics": "running"},
            rows={
                "DCGAN": {},
                "SNGAN": SPECTRAL_HINGE
                | adam(2e-4, 0.0, 0.9)
                | {"recipe.discriminator_steps": 5},
            },
            columns=FID,
            published=mimicry("celeba64", ["SNGAN"])
            | {"DCGAN": ("ttur/celeba/DCGAN/fid",)},
        ),
        "cifar10": Part(
            title="CIFAR-10",
            config="configs/dcgan.py:paper",
            overrides={**MIMICRY, **CIFAR_10},
            rows={
                "DCGAN": {},
                "WGAN-GP": WGAN_GP
                | adam(2e-4, 0.0, 0.9)
                | {"recipe.discriminator_steps": 5},
                "SNGAN": SPECTRAL_HINGE
                | adam(2e-4, 0.0, 0.9)
                | {"recipe.discriminator_steps": 5},
                "cGAN-PD": {
                    **cgan.PRESETS["projection"],
                    **adam(2e-4, 0.0, 0.9),
                    "recipe.discriminator_steps": 5,
                },
            },
            columns=FID,
            runs_per_program=3,
            published=mimicry("cifar10", ["DCGAN"])
            | mimicry("cifar10_50k", ["WGAN-GP", "SNGAN", "cGAN-PD"]),
        ),
        "lucic_mnist": lucic(
            "mnist",
            image_set("mnist", 28, 1, 10),
            steps=18_750,  # 20 epochs
            config="configs/dcgan.py:paper",
        ),
        "lucic_fashion": lucic(
            "fashion_mnist",
            image_set("fashion_mnist", 28, 1, 10),
            steps=18_750,
            config="configs/dcgan.py:paper",
        ),
        "lucic_cifar10": lucic(
            "cifar10",
            CIFAR_10,
            steps=78_000,  # 100 epochs
            config="configs/dcgan.py:paper",
        ),
        "lucic_celeba": lucic(
            "celeba",
            {},
            steps=101_500,  # 40 epochs
            config="configs/dcgan.py:celeba",
            held_out={"evaluation.split": "validation"},
        ),
    },
    cores=0,
)
