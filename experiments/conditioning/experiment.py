"""Which way of telling a GAN the digit is obeyed best."""

from configs import cgan
from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import (
    RAW,
    REAL,
    UNTRAINED,
    Column,
    Experiment,
    Part,
    against,
)

MECHANISMS = ("onehot", "embedding", "projection", "acgan")  # presets for MNIST

EXPERIMENT = Experiment(
    parts={
        "conditions": Part(
            title="Presets of configs/cgan.py",
            config="configs/cgan.py:onehot",
            overrides={
                **dcgan_rules.SMALL,
                "sample_rows": 10,
                "evaluation.metrics": "label_accuracy,intra_class_frechet_distance,"
                "frechet_distance,parzen_log_likelihood",
            },
            rows={name: cgan.PRESETS[name] for name in MECHANISMS},
            columns=(
                Column("label_accuracy", "read as asked, %", 1, 100),
                Column(f"{RAW}label_accuracy", "by the raw generator", 1, 100),
                Column("intra_class_frechet_distance", "Fréchet within a class", 2),
                Column("frechet_distance", "Fréchet distance", 2),
                Column(f"{RAW}frechet_distance", "of the raw generator", 2),
                Column("parzen_log_likelihood", "Parzen log-likelihood, nats", 0),
            ),
            compared=against("onehot", MECHANISMS),
            references=(UNTRAINED, REAL),
            threshold=dcgan_rules.BEGUN,
            published={"onehot": ("cgan/parzen/mnist",)},
            curves=("label_accuracy", "frechet_distance"),
            grids=True,
        )
    },
)
