"""The options of a training step, by the names of published recipes."""

from typing import NamedTuple

from ml_collections import ConfigDict

from gan_jax import checks, own_parts
from gan_jax.step import augmentation, losses, penalties, sampling

# Every update is compiled separately, and more of them would take hours to compile.
MOST_UPDATES = 32
MOST_PACKED = 16
RANGES = {
    "updates": checks.one_of(("shared", "fresh", "same_latents", "simultaneous")),
    "discriminator_batches": checks.one_of(("separate", "joint")),
    "discriminator_steps": checks.integer(1, MOST_UPDATES),
    "generator_steps": checks.integer(1, MOST_UPDATES),
    "loss": own_parts.one_of(losses.LOSSES),
    "real_label": losses.REAL_LABEL,
    "penalty": own_parts.one_of(("none", *penalties.PENALTIES)),
    "penalty_weight": checks.NOT_NEGATIVE,
    "lecam_weight": checks.NOT_NEGATIVE,
    "lecam_decay": checks.share(),
    "augment": augmentation.NAMES,
    "instance_noise": checks.NOT_NEGATIVE,
    "packing": checks.integer(1, MOST_PACKED),
    "clip_weights": checks.number("at least 0 and finite, 0 for no clipping"),
    "ema_decay": checks.share("0 for no average"),
}


class Recipe(NamedTuple):
    """The static options of a training step.

    Attributes:
      latent_size: length of a latent vector.
      latent_distribution: "normal" or "uniform", see sampling.draw_latents.
      num_classes: number of classes; generated images have labels in [0, num_classes).
      flip: mirror each real image with probability 1/2.
      updates: how the two updates are computed. "shared": the images of a single
        generator pass serve both gradients, the discriminator's first (Radford et al.
        2015, as in the PyTorch example). "fresh": the generator's gradient takes new
        latents (Goodfellow et al. 2014, algorithm 1). "same_latents": as "shared", and
        further generator updates of the step take the same latents again (code of Lin
        et al. 2018, arXiv 1712.04086, on stacked MNIST). "simultaneous": a single pass
        gives both gradients at the old parameters (their code of points).
      discriminator_batches: "separate" judges real and fake images in two passes;
        "joint" judges them in one pass, so that BatchNorm sees both.
      discriminator_steps: number of discriminator updates in a step, each on other
        data.
      generator_steps: number of generator updates in a step, each on other latents,
        but for the updates "same_latents".
      loss: pair of losses.
      penalty: penalty on the discriminator's gradient, or none.
      penalty_weight: factor of the penalty.
      lecam_weight: factor of the mean square distance of real logits from the moving
        average of the mean fake logit, plus the reverse, in the discriminator's loss;
        0 leaves it out (LeCam, Tseng et al. 2021, arXiv 2104.03310).
      lecam_decay: share that these averages keep in a discriminator update, less in the
        first updates, see train_step.average_decay.
      augment: names of random transformations of all images that the discriminator
        sees, real and generated, in both updates. They come before packing, instance
        noise and the joining of batches, and penalties are taken at what then is seen
        (DiffAugment, Zhao et al. 2020, arXiv 2006.10738).
      instance_noise: standard deviation of N(0, 1) noise on all images that the
        discriminator sees (Sonderby et al. 2017, arXiv 1610.04490, section 3).
      packing: number of images that the discriminator judges together (Lin et al.
        2018).
      clip_weights: bound to which the discriminator's parameters are clipped after
        each update; 0 does not clip (Arjovsky et al. 2017, arXiv 1701.07875, algorithm
        1).
      ema_decay: share that the generator's averaged parameters keep in an update, less
        in the first updates, see train_step.average_decay; 0 keeps no average (Yazici
        et al. 2019, arXiv 1806.04498).
      axis_name: axis of the replicas to average over; None without replicas.
    """

    latent_size: int
    latent_distribution: str = "normal"
    num_classes: int = 1
    flip: bool = False
    updates: str = "shared"
    discriminator_batches: str = "separate"
    discriminator_steps: int = 1
    generator_steps: int = 1
    loss: losses.Loss = losses.LOSSES["non_saturating"]
    penalty: penalties.Penalty | None = None
    penalty_weight: float = 10.0
    lecam_weight: float = 0.0
    lecam_decay: float = 0.99
    augment: tuple[str, ...] = ()
    instance_noise: float = 0.0
    packing: int = 1
    clip_weights: float = 0.0
    ema_decay: float = 0.0
    axis_name: str | None = None

    @property
    def examples_per_slot(self) -> int:
        """Number of real images that each batch index takes in a step."""
        return self.discriminator_steps * self.packing


def _check_exclusions(config: ConfigDict) -> None:
    """Refuses options that exclude each other."""
    recipe, discriminator = config.recipe, config.model.discriminator
    conditional = discriminator.get("condition", "none") != "none"
    if recipe.penalty in ("r2", "r1_r2") and conditional:
        raise ValueError(
            f"recipe.penalty is {recipe.penalty!r}, on generated images, and the "
            "discriminator is conditional, but a penalty judges with the real images' "
            "labels: set --config.recipe.penalty=r1 or "
            "--config.model.discriminator.condition=none."
        )
    if recipe.augment and config.data.channels == 2:
        raise ValueError(
            f"recipe.augment is {recipe.augment!r}, but data.channels is 2 and points "
            "of the plane are no images that could be augmented: set "
            "--config.recipe.augment=''."
        )
    if config.data.flip and config.data.channels == 2:
        raise ValueError(
            "data.flip is True, but data.channels is 2 and points of the plane are no "
            "images that could be mirrored: set --config.data.flip=False."
        )
    if recipe.packing > 1 and conditional:
        raise ValueError(
            f"recipe.packing is {recipe.packing} and the discriminator is conditional, "
            "but a pack of images has no one label: set --config.recipe.packing=1 or "
            "--config.model.discriminator.condition=none."
        )
    if recipe.updates == "simultaneous" and (
        recipe.discriminator_steps > 1 or recipe.generator_steps > 1
    ):
        raise ValueError(
            "recipe.updates is 'simultaneous', which is one update of each network "
            "from one pass, but discriminator_steps is "
            f"{recipe.discriminator_steps} and generator_steps is "
            f"{recipe.generator_steps}: set both to 1, or "
            "--config.recipe.updates to shared or fresh."
        )
    is_bounded = recipe.loss == "wasserstein" or own_parts.is_named(recipe.loss)
    if recipe.clip_weights and not is_bounded:
        raise ValueError(
            f"recipe.clip_weights is {recipe.clip_weights}, which bounds the slope of "
            f"a Wasserstein discriminator, but recipe.loss is {recipe.loss!r}: set "
            "--config.recipe.loss=wasserstein or --config.recipe.clip_weights=0."
        )


def create(config: ConfigDict, *, axis_name: str | None) -> Recipe:
    """The recipe that a run's config describes.

    Args:
      config: whole config, of which the sections data, model and recipe are read.
      axis_name: axis of the replicas to average over; None without replicas.

    Raises:
      ValueError: a name is unknown, an own part has another form, a number is out of
        range, or options exclude each other.
    """
    checks.check_fields(config.recipe, RANGES, path="recipe")
    checks.check_fields(config.model, sampling.RANGES, path="model")
    _check_exclusions(config)
    fields = config.recipe.to_dict()
    loss = losses.create(fields.pop("loss"), real_label=fields.pop("real_label"))
    return Recipe(
        latent_size=config.model.latent_size,
        latent_distribution=config.model.latent_distribution,
        num_classes=max(1, config.data.num_classes),
        flip=config.data.flip,
        loss=loss,
        penalty=penalties.create(fields.pop("penalty")),
        augment=augmentation.parse(fields.pop("augment")),
        axis_name=axis_name,
        **fields,
    )
