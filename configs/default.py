"""Every field of a run, with its default. Other configs import this one.

A comment ends in what a number may be; a count of steps or images without a bound goes
up to 2^31 - 1, a width or a length up to 2^17. Names that are allowed are listed where
they are few. What is outside is refused before anything is prepared.

The sections of the two networks have every option of the model that `model.name` says:
those of the DCGAN here, those of another model where a config calls `use_networks`. The
sections of the two optimisers have arguments of the optimiser that their `name` says.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gan_jax import models


def get_config() -> ConfigDict:
    """The fields that every config has."""
    config = ConfigDict()
    config.seed = 0  # parameters, order of the data, latents follow from it; [0, 2^32)
    config.num_train_steps = 10_000  # at least 1; a step may hold several updates
    config.batch_size = 128  # images a step over all devices of all hosts; at least 1
    config.steps_per_call = 10  # steps compiled into one call, at least 1; shortened
    # to divide the intervals below, which are at least 0
    config.log_every_steps = 100  # steps; 0 logs the last step only
    config.sample_every_steps = 500  # steps between sample grids; 0: first and last
    config.checkpoint_every_steps = 500  # steps; 0 saves the last step only
    config.eval_every_steps = 2_500  # steps between evaluations, see below; 0: none
    config.checkpoints_to_keep = 2  # the newest, older ones are deleted; at least 1
    config.sample_rows = 8  # row r of a conditional GAN has class r; [1, 10_000]
    config.sample_columns = 8  # of a sample grid; [1, 10_000]
    config.tensorboard = True  # write event files; False spares TensorFlow's import
    config.compilation_cache_dir = ""  # of compiled programs; "": ~/.cache/gan_jax

    config.data = ConfigDict()
    config.data.name = "mnist"  # mnist, celeb_a, folder, array, stacked_mnist,
    # ring, grid, or an image set of TFDS
    config.data.split = "train"  # TFDS split, for example "train[:1000]"
    config.data.image_size = 28  # pixels; resized to this square; [1, 8_192]
    config.data.channels = 1  # 1 grey, 3 RGB, images are converted; a point has 2
    config.data.crop = 0  # pixels: side of the centre square cut out first; 0: the
    # largest; above the image's side: padded with black; [0, 8_192]
    config.data.flip = False  # mirror images left to right at random
    config.data.label = ""  # attribute used as label (celeb_a, array); "": the own
    config.data.num_classes = 10  # of the labels; 0: as the data have; [0, 2^17]
    config.data.data_dir = ""  # of prepared TFDS data; "": TFDS's own default
    config.data.manual_dir = ""  # of original files or the folder of images; "": the
    # embedded files (MNIST)
    config.data.cache_dir = ""  # of decoded arrays; "": beside the prepared data
    config.data.device_bytes = 2**30  # data up to this many bytes live on the device,
    # larger data are gathered by the host; at least 0

    config.model = ConfigDict()
    config.model.name = "dcgan"  # see gan_jax/models/__init__.py
    config.model.latent_size = 100  # length of a latent vector; at least 1
    config.model.latent_distribution = "normal"  # normal, or uniform in [-1, 1)
    config.model.convolution = "auto"  # auto, adjoint, matmul or lax: see
    # models/convolution.py
    config.model.dtype = "float32"  # of the computation: float32 or bfloat16
    config.model.sync_batch_norm = True  # statistics of the whole batch over all
    # devices; False: of each device's share
    config.model.generator = ConfigDict()
    config.model.generator.features = 64  # width of the last hidden map; at least 1
    config.model.generator.condition = "none"  # how labels enter: none, onehot,
    # embedding or batch_norm; one of both networks needs one of the other
    config.model.generator.embedding_size = 50  # length of a label's vector; at least 1
    config.model.generator.norm = "batch"  # batch or none
    config.model.generator.norm_ends = False  # BatchNorm on the image too
    config.model.generator.norm_momentum = 0.9  # share of BatchNorm's running
    # statistics that a step keeps; [0, 1)
    config.model.generator.activation = "relu"  # relu or leaky_relu
    config.model.generator.output = "tanh"  # tanh or sigmoid, scaled to [-1, 1]
    config.model.generator.upsampling = "transposed"  # transposed or nearest
    config.model.generator.hidden_dense = 0  # width of a dense layer after the
    # latents; 0: none
    config.model.discriminator = ConfigDict()
    config.model.discriminator.features = 64  # width of the first map; at least 1
    config.model.discriminator.condition = "none"  # how labels enter: none, onehot,
    # embedding, projection or auxiliary
    config.model.discriminator.embedding_size = 50  # as above; at least 1
    config.model.discriminator.auxiliary_weight = 1.0  # of its loss; at least 0
    config.model.discriminator.norm = "batch"  # batch, layer, none or spectral
    config.model.discriminator.norm_ends = False  # norm on the first map too
    config.model.discriminator.activation = "leaky_relu"  # leaky_relu or relu
    config.model.discriminator.downsampling = "strided"  # strided, max_pool or
    # average_pool
    config.model.discriminator.hidden_dense = 0  # width of a dense layer before the
    # logit; 0: none

    config.recipe = ConfigDict()
    config.recipe.updates = "shared"  # shared, fresh or simultaneous: see recipes.py
    config.recipe.discriminator_batches = "separate"  # separate or joint
    config.recipe.discriminator_steps = 1  # discriminator updates a step; [1, 32]
    config.recipe.generator_steps = 1  # generator updates a step; [1, 32]
    config.recipe.loss = "non_saturating"  # a name in losses.LOSSES
    config.recipe.real_label = 1.0  # target of real logits; 0.9 smooths; (0.5, 1]
    config.recipe.penalty = "none"  # none or a name in penalties.PENALTIES
    config.recipe.penalty_weight = 10.0  # multiplies the penalty; at least 0
    config.recipe.instance_noise = 0.0  # standard deviation, at least 0; images span
    # [-1, 1]
    config.recipe.packing = 1  # images that the discriminator judges together; [1, 16]
    config.recipe.clip_weights = 0.0  # bound of discriminator parameters; 0: none; at
    # least 0
    config.recipe.ema_decay = 0.0  # share that the generator's average keeps in a
    # step, less in the first ones; [0, 1), 0 keeps no average

    config.optimizer = ConfigDict()
    config.optimizer.schedule = "constant"  # of both learning rates: constant, linear
    # or cosine, the last two fall to 0 at the end of the run
    config.optimizer.warmup_steps = 0  # during which both rates rise from 0; at least 0
    config.optimizer.decay_share = 0.5  # last share of the run, in (0, 1], during
    # which the rates of the schedules linear and cosine fall
    config.optimizer.generator = ConfigDict()
    config.optimizer.generator.name = "adam"  # see gan_jax/step/optimizers.py
    config.optimizer.generator.learning_rate = 2e-4  # at least 0
    config.optimizer.generator.b1 = 0.5  # decay of the mean of gradients; [0, 1)
    config.optimizer.generator.b2 = 0.999  # of the mean of squared gradients; [0, 1)
    config.optimizer.discriminator = (
        config.optimizer.generator.copy_and_resolve_references()
    )

    config.evaluation = ConfigDict()
    config.evaluation.extractor = "mnist"  # pixels, mnist, stacked_mnist, classifier
    # or inception
    config.evaluation.weights = ""  # file of the last two
    config.evaluation.metrics = "frechet_distance,class_distance"  # names in
    # evaluation/suite.py with commas between; cheap or all of them
    config.evaluation.num_images = 10_000  # generated, at least 2, and at most as many
    # real ones
    config.evaluation.draws = 1  # with other seeds, for a standard error; [1, 10_000]
    config.evaluation.split = ""  # of the real images; "": test, where there is one
    config.evaluation.statistics = "running"  # of the generator's BatchNorm: running,
    # or batch, those of the generated batch
    config.evaluation.batch_size = 250  # images generated at once; at least 1
    config.evaluation.seed = 0  # of latents and of metrics that draw; [0, 2^32)
    config.evaluation.best_metric = ""  # whose best checkpoint lies in best/; "": none.
    # It chooses on the images of evaluation.split: choose on other images than those
    # that are reported, such as data.split train[:55000] and this split train[55000:]
    return config


def use_networks(config: ConfigDict, name: str) -> None:
    """Chooses a model; its networks' sections get all of its options, as they default.

    The docstrings of gan_jax/models/ say what each option means.

    Args:
      config: changed in place.
      name: one of gan_jax.models.MODELS.
    """
    config.model.name = name
    for network, options in models.default_options(name).items():
        config.model[network] = ConfigDict(options)


def with_preset(
    config: ConfigDict, presets: Mapping[str, Mapping[str, Any]], preset: str | None
) -> ConfigDict:
    """The config with a preset's differences; a section among them is replaced.

    Args:
      config: changed in place and returned.
      presets: for each name its differences, such as {"data.channels": 3}.
      preset: a name in presets; None changes nothing.

    Raises:
      ValueError: an unknown preset.
    """
    if preset is None:
        return config
    if preset not in presets:
        known = ", ".join(presets) or "none"
        raise ValueError(
            f"there is no preset {preset!r}; this config's presets are: {known}. Give "
            "one of them after the colon, or leave the colon out."
        )
    for path, value in presets[preset].items():
        *sections, field = path.split(".")
        section = config
        for name in sections:
            section = section[name]
        is_section = isinstance(value, Mapping)
        section[field] = ConfigDict(value) if is_section else value
    return config
