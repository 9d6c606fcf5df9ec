"""Which way of telling a GAN the digit is obeyed best."""

from configs import cgan
from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import Column, Experiment, Part

EXPERIMENT = Experiment(
    title="Ways to condition a GAN",
    question="Which way of telling a GAN the class is obeyed best, and which draws the "
    "better digits?",
    source="Mirza and Osindero 2014 (arXiv 1411.1784), table 1 (one-hot); Miyato and "
    "Koyama 2018 (arXiv 1802.05637) (projection); Odena et al. 2017 (arXiv 1610.09585) "
    "(auxiliary classifier)",
    parts={
        "conditions": Part(
            title="Presets of configs/cgan.py",
            config="configs/cgan.py:onehot",
            overrides={
                **dcgan_rules.SMALL,
                "eval_every_steps": 1_500,
                "sample_rows": 10,
                "evaluation.metrics": "label_accuracy,intra_class_frechet_distance,"
                "frechet_distance,parzen_log_likelihood",
            },
            rows=cgan.PRESETS,
            columns=(
                Column("label_accuracy", "read as asked, %", 1, 100),
                Column("intra_class_frechet_distance", "Fréchet within a class", 1),
                Column("frechet_distance", "Fréchet distance", 1),
                Column("parzen_log_likelihood", "Parzen log-likelihood, nats", 0),
            ),
            published={"onehot": ("cgan/parzen/mnist",)},
            curves=("label_accuracy", "frechet_distance"),
            grids=True,
            text="The rows differ in what the presets say, so projection also has its "
            "authors' spectral normalisation and hinge loss. Row r of a sample grid is "
            "class r. The numbers are those of the averaged generator.",
        )
    },
    deviations=(
        "All rows are DCGANs of 16 features after 3,000 steps of 64 images; Mirza and "
        "Osindero's nets are dense, the others' data are ImageNet and CIFAR-10.",
        "Projection without its ResNets and five discriminator steps.",
        "Parzen windows on 5,000 generated images for 10,000, their width chosen on "
        "images that were trained on; between publications the number moves by 150 "
        "nats, so it ranks nothing.",
    ),
)
