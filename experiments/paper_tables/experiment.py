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
    title="Published tables for larger machines",
    question="Which published numbers does the code reach at their own scale?",
    source="Lin et al. 2018 (arXiv 1712.04086), table 2; Heusel et al. 2017 (arXiv "
    "1706.08500), table 1; Lee and Town 2020, Mimicry (arXiv 2005.02494); Lucic et al. "
    "2018 (arXiv 1711.10337)",
    answer="Not run: the configs build and the costs are worked out; the published "
    "values stand beside the empty rows, with what their protocols have different",
    learned="""Nothing yet: no row was run. What the tables will cost, as `python -m
experiments.run --experiment=paper_tables --dry_run` printed it (XLA's count of the
FLOP of a step, times the steps, over all runs, searches included):

| table | runs | PFLOP | TPU v5e, hours of one chip |
| --- | --- | --- | --- |
| stacked MNIST | 40 | 83.7 | 0.4 |
| CelebA at 64x64 | 6 | 115 | 0.5 |
| CIFAR-10 | 12 | 58.4 | 0.3 |
| Lucic et al., MNIST | 372 | 109 | 0.5 |
| Lucic et al., Fashion-MNIST | 372 | 109 | 0.5 |
| Lucic et al., CIFAR-10 | 372 | 928 | 4.4 |
| Lucic et al., CelebA | 372 | 7,050 | 33 |

The hours are FLOP over 30 % of the chip's 197 TFLOP a second in bfloat16 (Google's
data sheet): an assumption, not a measurement. The whole of Lucic et al.'s table would
be 39 hours of one chip, 9 minutes of a pod of 256 if its seeds fill the chips
(`--cluster=slurm`, a job for each 50 seeds of a row). FID needs the published
Inception weights, see the README, and each evaluation 10,000 or 50,000 images through
it.""",
    parts={
        "stacked_mnist": Part(
            title="Stacked MNIST, 1,000 modes",
            text="No row is compared with a published value yet. The authors' code has "
            "four halvings with kernels of 5x5 and widths 64 to 512, data in [0, 1] "
            "under tanh, the digits of all 70,000 images and one batch of latents for "
            "a step's update of the discriminator and both of the generator. Ours has "
            "two halvings with kernels of 4x4, data in [-1, 1], the digits of the "
            "60,000 training images and new latents for each update.",
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
            text="No row is compared with a published value yet. The published DCGAN "
            "has 5e-4 for both networks and 70,000 updates, ours 2e-4 and 100,000. The "
            "published SNGAN is a ResNet whose rates fall linearly to 0, trained on "
            "all splits of CelebA; ours is a DCGAN at constant rates on the training "
            "split. SNGAN waits for the ResNet.",
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
            text="No row is compared with a published value yet. Ours are FIDs of "
            "50,000 generated against 50,000 real images. The published DCGAN has "
            "10,000 and 10,000, and the FID of fewer images is higher; the three "
            "others have 50,000 and 50,000. All published runs have rates that fall "
            "linearly to 0, ours are constant. The published WGAN-GP, SNGAN and "
            "cGAN-PD are ResNets, ours are DCGANs: these three rows wait for the "
            "ResNet.",
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
    deviations=(
        "All networks are DCGANs of width 64: Mimicry's and SNGAN's are ResNets, Lucic "
        "et al.'s are InfoGAN's, PacGAN's on stacked MNIST halve four times.",
        "The search is a grid of twelve settings of Adam where Lucic et al. draw 100 "
        "of all hyper-parameters; it chooses on 5,000 held-out training images (of "
        "CelebA on the validation split), the table reports the test images. BEGAN is "
        "not among our losses.",
        "CelebA is the centre square of 178 pixels, resized to 64.",
    ),
)
