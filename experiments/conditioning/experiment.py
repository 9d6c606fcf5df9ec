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
    answer="AC-GAN does best early on both counts ([[conditions | acgan | "
    "label_accuracy]] % read as asked, Fréchet distance within a class [[conditions | "
    "acgan | intra_class_frechet_distance]]); the embedding is obeyed as well "
    "([[conditions | embedding | label_accuracy]] %) but draws one picture a class",
    learned="""After 3,000 steps of small nets AC-GAN and the embedding are read as
asked most often, [[conditions | acgan | label_accuracy]] % and [[conditions |
embedding | label_accuracy]] %, and mean opposite things by it. The embedding's
generator draws nearly the same picture for all latents of a class (its rows of the
grid; Fréchet distance within a class [[conditions | embedding |
intra_class_frechet_distance]] against [[conditions | acgan |
intra_class_frechet_distance]]): label accuracy alone would call that a success. A
learned vector of 50 numbers, drawn from N(0, 1), weighs as much as half of the
latents at the generator's input, a one-hot code hardly anything. The one-hot GAN has
the second best digits ([[conditions | onehot | frechet_distance]]) and listens less
([[conditions | onehot | label_accuracy]] %).

Projection with spectral normalisation and hinge has hardly begun ([[conditions |
projection | label_accuracy]] %). That is its speed at this width and length and not
its limit: with 64 features and 6,000 steps of 128 images the four reach 97 to 98.6 %,
one seed each ([conditional_mnist](../conditional_mnist/README.md)).

The Parzen values order the rows otherwise ([[conditions | onehot |
parzen_log_likelihood]] nats for one-hot, [[conditions | embedding |
parzen_log_likelihood]] for the embedding, 132 published for dense nets): they see
pixels and diversity, not whether a digit is the one asked for.""",
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
