"""What a discriminator's features are worth to a classifier with few labels."""

from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import Column, Experiment, Overrides, Part, against


def steps(number: int) -> dict[str, int]:
    """A run of so many steps, which is evaluated once, at its end."""
    fields = ("num_train_steps", "eval_every_steps", "sample_every_steps")
    return dict.fromkeys((*fields, "checkpoint_every_steps"), number)


ROWS: dict[str, Overrides] = {
    "untrained": {
        **steps(100),
        "optimizer.generator.learning_rate": 0.0,
        "optimizer.discriminator.learning_rate": 0.0,
    },
    "after 500 steps": steps(500),
    "after 3,000 steps": steps(3_000),
}

EXPERIMENT = Experiment(
    title="Features of a discriminator",
    question="Does a discriminator that never saw a label learn features from which "
    "few labels suffice?",
    source="Radford et al. 2015 (arXiv 1511.06434), section 5: a linear L2-SVM on all "
    "convolutions' features, pooled to 4x4; tables 1 (CIFAR-10) and 2 (SVHN, 1,000 "
    "labels)",
    answer="Better than pixels, but training adds nothing that three seeds resolve: "
    "100 labels give [[labels | after 3,000 steps | probe_100]] % on trained features, "
    "[[labels | untrained | probe_100]] % on an untrained discriminator's and [[labels "
    "| untrained | pixels_100]] % on pixels",
    learned="""The features beat the pixels at each number of labels ([[labels | after
3,000 steps | probe_1000]] % against [[labels | untrained | pixels_1000]] % with
1,000), and so do the untrained discriminator's ([[labels | untrained | probe_1000]]
%): on MNIST random convolutions do it. 3,000 steps of adversarial training differ from
none by [[labels | after 3,000 steps | probe_100 | difference]], [[labels | after 3,000
steps | probe_1000 | difference]] and [[labels | after 3,000 steps | probe_10000 |
difference]] points with 100, 1,000 and 10,000 labels, none of them resolved. The
paper's claim is about natural images and a much larger network, so this says nothing
against it; a probe without the untrained row would have seemed to confirm it here.

The standard errors are over the discriminators' seeds. The labelled images are the
same in all runs, so a pixels' column has no spread, and none of the errors holds that
of another choice of labels.""",
    parts={
        "labels": Part(
            title="A linear classifier with 100, 1,000 and 10,000 labels",
            config="configs/dcgan.py:paper",
            overrides={
                **dcgan_rules.SMALL,
                "evaluation.metrics": "label_efficiency",
                "evaluation.num_images": 10_000,
            },
            rows=ROWS,
            columns=tuple(
                Column(f"{features}_{count}", f"{title}, {count:,} labels, %", 1, 100)
                for features, title in (("probe", "features"), ("pixels", "pixels"))
                for count in (100, 1_000, 10_000)
            ),
            compared=against("untrained", ROWS),
            text="Columns are shares of the 10,000 test images whose digit is found. "
            "The labelled images are drawn anew from one seed, equally many of each "
            "digit, the smaller sets being parts of the larger; all rows have the "
            "same, so the pixels' columns repeat. The strength C of 1e-4, 1e-3 and "
            "1e-2, the authors' range, is chosen by five-fold cross-validation within "
            "100 and 1,000 labelled images, on a fifth of 10,000; features and pixels "
            "alike are standardised. Untrained is a network of random kernels after "
            "100 steps at rate 0, in which its BatchNorm takes the statistics.",
        )
    },
    deviations=(
        "MNIST, which the paper does not probe, for CIFAR-10 and SVHN.",
        "A discriminator of 16 features, which gives 768 numbers an image, for the "
        "28,672 of the paper's; it was trained on the images that are classified, and "
        "the paper's on ImageNet-1k for CIFAR-10.",
        "The authors infer BatchNorm's statistics from real images, choose C on "
        "validation images and average over many labelled subsets. Here the statistics "
        "are the running ones of training, in which real and generated batches take "
        "turns, C is chosen by cross-validation among the labelled images, and there "
        "is one labelled subset of each size.",
    ),
)
