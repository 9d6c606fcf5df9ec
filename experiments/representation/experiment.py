"""What a discriminator's features are worth to a classifier with few labels."""

from experiments.dcgan_rules import experiment as dcgan_rules
from experiments.engine.spec import Column, Experiment, Overrides, Part, against


def steps(number: int) -> dict[str, int]:
    """A run of so many steps, which is evaluated once, at its end."""
    fields = ("num_train_steps", "eval_every_steps", "sample_every_steps")
    return dict.fromkeys((*fields, "checkpoint_every_steps"), number)


ROWS: dict[str, Overrides] = {
    "untrained": {
        **steps(1),
        "optimizer.generator.learning_rate": 0.0,
        "optimizer.discriminator.learning_rate": 0.0,
    },
    "after 500 steps": steps(500),
    "after 3,000 steps": steps(3_000),
}

EXPERIMENT = Experiment(
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
        )
    },
)
