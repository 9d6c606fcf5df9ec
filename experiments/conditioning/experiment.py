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
    title="Ways to condition a GAN",
    question="Which way of telling a GAN the class is obeyed best, and which draws the "
    "better digits?",
    source="Mirza and Osindero 2014 (arXiv 1411.1784), table 1 (one-hot); Miyato and "
    "Koyama 2018 (arXiv 1802.05637) (projection); Odena et al. 2017 (arXiv 1610.09585) "
    "(auxiliary classifier)",
    answer="Awaits a rerun: the stored numbers are those of averaged generators whose "
    "average had no warm-up and was drawn from with the raw generator's BatchNorm "
    "statistics, so they rank nothing",
    learned="""Nothing that stands: the numbers above are those of averaged generators
(decay 0.999). Their average began at the initial parameters without a warm-up, which
after 3,000 steps still hold a share of 5 %, and they were drawn from with the raw
generators' BatchNorm statistics. How much of a difference between rows is due to that
is not known. The page awaits a rerun with raw and averaged generators side by side;
until then it ranks no way of conditioning.

What can be said without ranking: label accuracy alone does not say that a class is
drawn. The embedding's row is read as asked in [[conditions | embedding |
label_accuracy]] % with a Fréchet distance within a class of [[conditions | embedding |
intra_class_frechet_distance]], and its rows of the grid show nearly one picture a
class; AC-GAN's is read as asked in [[conditions | acgan | label_accuracy]] % at a
distance of [[conditions | acgan | intra_class_frechet_distance]]. The Parzen values
order the rows otherwise ([[conditions | onehot | parzen_log_likelihood]] nats for
one-hot, [[conditions | embedding | parzen_log_likelihood]] for the embedding): they
see pixels and diversity, not whether a digit is the one that was asked for.

Projection with spectral normalisation and hinge has hardly begun after these steps
([[conditions | projection | label_accuracy]] % read as asked, where guessing gives
10); longer runs of wider nets are on the page
[conditional_mnist](../conditional_mnist/README.md).""",
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
                Column("intra_class_frechet_distance", "Fréchet within a class", 1),
                Column("frechet_distance", "Fréchet distance", 1),
                Column(f"{RAW}frechet_distance", "of the raw generator", 1),
                Column("parzen_log_likelihood", "Parzen log-likelihood, nats", 0),
            ),
            compared=against("onehot", MECHANISMS),
            references=(UNTRAINED, REAL),
            threshold=dcgan_rules.BEGUN,
            published={"onehot": ("cgan/parzen/mnist",)},
            curves=("label_accuracy", "frechet_distance"),
            grids=True,
            text="The rows differ in what the presets say, so projection also has its "
            "authors' spectral normalisation and hinge loss. Row r of a sample grid is "
            "class r. The numbers are those of the averaged generator and await a "
            "rerun, as What we learned says. " + dcgan_rules.EVALUATED,
        )
    },
    deviations=(
        "All rows are DCGANs of 16 features after 3,000 steps of 64 images; Mirza and "
        "Osindero's nets are dense, the others' data are ImageNet and CIFAR-10.",
        "Projection without its ResNets and five discriminator steps, with Adam's b1 "
        "0.5 and b2 0.999 where its authors have 0 and 0.9, and with an inner product "
        "over the whole last map where theirs is over the map's sum over positions.",
        "Parzen windows on 5,000 generated images for 10,000, their width chosen on "
        "images that were trained on; between publications the number moves by 150 "
        "nats, so it is no ranking.",
    ),
)
