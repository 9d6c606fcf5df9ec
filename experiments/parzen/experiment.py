"""How near a tenth of an hour comes to the log-likelihood of the first GAN."""

from experiments.engine.spec import Column, Experiment, Part

EPOCH = 500  # steps of 100 images in 50,000
SHORT = {
    "num_train_steps": 12 * EPOCH,
    "eval_every_steps": 3 * EPOCH,
    "sample_every_steps": 2 * EPOCH,
    "checkpoint_every_steps": 6 * EPOCH,
    "tensorboard": False,
    "evaluation.metrics": "frechet_distance,parzen_log_likelihood",
    "evaluation.num_images": 10_000,
}
COLUMNS = (
    Column("parzen_log_likelihood", "Parzen log-likelihood, nats", 0),
    Column("frechet_distance", "Fréchet distance", 1),
)
PUBLISHED = ("goodfellow2014/parzen/mnist",)

EXPERIMENT = Experiment(
    parts={
        "paper": Part(
            title="The paper's nets",
            config="configs/gan.py:paper",
            overrides=SHORT,
            rows={
                "new latents for G": {},
                "simultaneous updates": {"recipe.updates": "simultaneous"},
            },
            columns=COLUMNS,
            published={"new latents for G": PUBLISHED},
            compared={"simultaneous updates": "new latents for G"},
            curves=("parzen_log_likelihood",),
            grids=True,
        ),
        "tutorials": Part(
            title="The nets of most tutorials",
            config="configs/gan.py",
            overrides=SHORT,
            rows={"LeakyReLU, tanh, Adam": {}},
            columns=COLUMNS,
            published={"LeakyReLU, tanh, Adam": PUBLISHED},
            curves=("parzen_log_likelihood",),
            grids=True,
        ),
    },
)
