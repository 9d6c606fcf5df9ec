"""Which changes to the DCGAN make the default run's digits good: a small design."""

from experiments.engine.spec import Column, Experiment, Overrides, Part

# A DCGAN of a quarter of the paper's width that trains for minutes on one core.
SMALL = {
    "model.generator.features": 16,
    "model.discriminator.features": 16,
    "batch_size": 64,
    "num_train_steps": 3_000,
    "eval_every_steps": 1_000,
    "sample_every_steps": 1_000,
    "checkpoint_every_steps": 1_000,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,prdc,class_distance",
    "evaluation.num_images": 5_000,
}
COLUMNS = (
    Column("frechet_distance", "Fréchet distance", 2),
    Column("coverage", "coverage", 3),
    Column("class_distance", "class distance", 3),
)
DENSE = {
    "model.generator.hidden_dense": 256,
    "model.discriminator.hidden_dense": 256,
}
AVERAGE = {"recipe.ema_decay": 0.999}
FALLING = {"optimizer.schedule": "linear"}
NOISE = {"recipe.instance_noise": 0.1}

ROWS: dict[str, Overrides] = {
    "paper's network": {},
    "paper's network, average, falling rate": AVERAGE | FALLING,
    "dense layers": DENSE,
    "dense layers, average": DENSE | AVERAGE,
    "dense layers, average, falling rate": DENSE | AVERAGE | FALLING,
    "dense layers, average, falling rate, noise": DENSE | AVERAGE | FALLING | NOISE,
}

EXPERIMENT = Experiment(
    title="What makes the default run's digits good",
    question="Which of four changes to the paper's DCGAN improve its digits on MNIST: "
    "dense hidden layers, an averaged generator, a falling learning rate, instance "
    "noise?",
    source="Dense layers: the MNIST code of the authors of Radford et al. 2015 "
    "(Newmu/dcgan_code on GitHub, mnist/train_cond_dcgan.py). Average: Yazici et al. "
    "2019 (arXiv 1806.04498). Instance noise: Sonderby et al. 2017 (arXiv 1610.04490).",
    parts={
        "design": Part(
            title="One change after another",
            config="configs/dcgan.py:paper",
            overrides=SMALL,
            rows=ROWS,
            columns=COLUMNS,
            curves=("frechet_distance",),
            grids=True,
            text="Dense hidden layers have 256 units with BatchNorm, one in each "
            "network. The average keeps 0.999 of itself in an update. The rate falls "
            "linearly to 0 over the second half of the run. The noise has a standard "
            "deviation of 0.1. Rows with an average report the averaged generator.",
        )
    },
    deviations=(
        "Networks of 16 features, 3,000 steps of 64 images: the default run has 32 "
        "features and 8,000 steps of 128 images, so this chooses among changes and "
        "says nothing of the default's own numbers.",
        "The Fréchet distance is that of 64 features of the shipped MNIST classifier, "
        "so it compares with no published FID; 5,000 generated and 5,000 test images.",
    ),
)
