"""Table 1 of the PacGAN paper: modes of two mixtures of Gaussians in the plane."""

from collections.abc import Iterable, Mapping, Sequence

from experiments.engine.spec import (
    REAL,
    UNIFORM,
    Column,
    Experiment,
    Overrides,
    Part,
    against,
)

COLUMNS = (
    Column("modes", "modes", 1),
    Column("high_quality", "high quality, %", 1, scale=100),
    Column("reverse_kl", "reverse KL", 2),
)
PACKED = {f"PacGAN {m}": {"recipe.packing": m} for m in (2, 3, 4)}
ROWS: dict[str, Overrides] = {"GAN": {}, **PACKED}
SMALL = {  # a twentieth of the steps, nets of two layers of 128
    "model.generator.features": (128, 128),
    "model.discriminator.features": (128, 128),
    "num_train_steps": 20_000,
    "log_every_steps": 1_000,
    "sample_every_steps": 1_000,
    "checkpoint_every_steps": 5_000,
    "eval_every_steps": 1_000,
    "tensorboard": False,
}


def published(mixture: str, rows: Iterable[str]) -> dict[str, list[str]]:
    """The registry's keys of each row; VEEGAN's stands beside the plain GAN's."""
    names = [column.number for column in COLUMNS]
    found = {row: [f"pacgan/{mixture}/{row}/{name}" for name in names] for row in rows}
    found["GAN"] += [
        f"veegan/{mixture}/{method}/{name}"
        for method in ("GAN", "VEEGAN")
        for name in names[:2]
    ]
    return found


def part(
    title: str,
    mixture: str,
    overrides: Overrides,
    *,
    rows: Mapping[str, Overrides] = ROWS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Part:
    """Rows on one mixture, by default all four with five seeds."""
    return Part(
        title=title,
        config="configs/ring.py" + (":grid" if mixture == "grid" else ""),
        overrides=overrides,
        rows=rows,
        columns=COLUMNS,
        seeds=seeds,
        published=published(mixture, rows),
        compared=against("GAN", rows),
        references=(UNIFORM, REAL),
        curves=("modes", "high_quality", "reverse_kl"),
        grids=True,
    )


def wide_part(title: str, mixture: str) -> Part:
    """Two rows with the paper's networks and length, three seeds."""
    rows = {row: ROWS[row] for row in ("GAN", "PacGAN 2")}
    return part(title, mixture, {"tensorboard": False}, rows=rows, seeds=(0, 1, 2))


EXPERIMENT = Experiment(
    parts={
        "ring_full": wide_part("The ring, the paper's networks and length", "ring"),
        "grid_full": wide_part("The grid, the paper's networks and length", "grid"),
        "ring": part(
            "The ring, small networks, a twentieth of the length",
            "ring",
            SMALL,
        ),
        "grid": part(
            "The grid, small networks, a twentieth of the length",
            "grid",
            SMALL,
        ),
    },
)
