"""Every field of a run, with its default. Other configs import this one.

The end of a comment says which numbers are allowed. If no upper bound is given, a count
of steps or images goes up to 2^31 - 1 and a width or a length up to 2^17. Allowed names
are listed if they are few. Other values are refused before anything is prepared.

The sections of the two networks have the options of the model `model.name`. Here these
are the options of the DCGAN; a config with another model calls `use_networks`. The
sections of the two optimisers have the arguments of the optimiser that is their `name`.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gan_jax import models


def get_config() -> ConfigDict:
    """The fields that every config has."""
    config = ConfigDict()
    config.seed = 0  # decides parameters, order of the data and latents; [0, 2^32)
    config.num_train_steps = 10_000  # steps of the run, which may hold several updates;
    # at least 1
    config.batch_size = 128  # images in a step, over all devices and hosts; at least 1
    config.steps_per_call = 0  # steps compiled into one call, at least 0; is reduced
    # to a number that divides the intervals below, which are at least 0; 0: as many as
    # suit the device, 10 on a CPU, chosen at the start of the run and then kept
    config.log_every_steps = 100  # steps between logs; 0 logs only the last step
    config.sample_every_steps = 500  # steps between sample grids; 0: first and last
    config.checkpoint_every_steps = 500  # steps between checkpoints; 0 saves only the
    # last step
    config.eval_every_steps = 2_500  # steps between evaluations, see below; 0: none
    config.checkpoints_to_keep = 2  # newest checkpoints that are kept; at least 1
    config.sample_rows = 8  # rows of a sample grid; row r of a conditional GAN has
    # class r; [1, 10_000]
    config.sample_columns = 8  # columns of a sample grid; [1, 10_000]
    config.tensorboard = True  # write event files; False does not import TensorFlow
    config.tracker = ""  # module:name of a function that opens a tracker for a copy of
    # the metrics, see experiments/own_parts; "": none
    config.compilation_cache_dir = ""  # folder of compiled programs; "" is
    # ~/.cache/gan_jax; a deterministic run keeps them in its own folder
    config.deterministic = False  # ask for GPU kernels that give the same bits each
    # time; a step took 1.26 times as long with them on one H100; CPUs need no asking
    config.matmul_precision = "default"  # precision of float32 products: default
    # (TF32 on an NVIDIA GPU that has it, bfloat16 on a TPU), tensorfloat32 (three
    # bfloat16 products on a TPU) or highest (float32); changes nothing on CPUs

    config.data = ConfigDict()
    config.data.name = "mnist"  # mnist, celeb_a, folder, array, stacked_mnist,
    # ring, grid, or an image set of TFDS
    config.data.split = "train"  # TFDS split, for example "train[:1000]"
    config.data.image_size = 28  # pixels; resized to this square; [1, 8_192]
    config.data.channels = 1  # images are converted to 1 (grey) or 3 (RGB) channels; a
    # point has 2
    config.data.crop = 0  # side in pixels of the centre square that is cut out first; 0
    # takes the largest, and what exceeds the image is black; [0, 8_192]
    config.data.flip = False  # mirror images left to right at random
    config.data.label = ""  # attribute used as label (celeb_a, array); "" takes the
    # labels of the data
    config.data.num_classes = 10  # number of classes; 0 accepts that of the data;
    # [0, 2^17]
    config.data.data_dir = ""  # folder of prepared TFDS data; "" is TFDS's default
    config.data.manual_dir = ""  # folder of the original files or of the images, or an
    # array file; "" uses the embedded files (MNIST)
    config.data.cache_dir = ""  # folder of decoded arrays; "": beside the prepared data
    config.data.device_bytes = 2**30  # data up to this many bytes are copied to the
    # device; the host gathers batches of larger data; at least 0

    config.model = ConfigDict()
    config.model.name = "dcgan"  # see gan_jax/models/__init__.py
    config.model.latent_size = 100  # length of a latent vector; at least 1
    config.model.latent_distribution = "normal"  # normal, or uniform in [-1, 1)
    config.model.convolution = "auto"  # auto, adjoint, matmul or lax: see
    # models/convolution.py
    config.model.dtype = "float32"  # dtype of the computation: float32 or bfloat16
    config.model.sync_batch_norm = True  # BatchNorm uses the statistics of the whole
    # batch over all devices; False: of the part on each device
    config.model.generator = ConfigDict()
    config.model.generator.features = 64  # width of the last hidden map; at least 1
    config.model.generator.condition = "none"  # how labels enter: none, onehot,
    # embedding or batch_norm; either both networks have a condition or neither has
    config.model.generator.embedding_size = 50  # length of a label's vector; at least 1
    config.model.generator.norm = "batch"  # batch or none
    config.model.generator.norm_ends = False  # apply BatchNorm to the image too
    config.model.generator.norm_momentum = 0.9  # share of BatchNorm's running
    # statistics that a step keeps; [0, 1)
    config.model.generator.activation = "relu"  # relu or leaky_relu
    config.model.generator.output = "tanh"  # tanh, or sigmoid scaled to [-1, 1]
    config.model.generator.upsampling = "transposed"  # transposed or nearest
    config.model.generator.hidden_dense = 0  # width of a dense layer after the
    # latents; 0: none
    config.model.discriminator = ConfigDict()
    config.model.discriminator.features = 64  # width of the first map; at least 1
    config.model.discriminator.condition = "none"  # how labels enter: none, onehot,
    # embedding, projection or auxiliary
    config.model.discriminator.embedding_size = 50  # length of a label's vector; at
    # least 1
    config.model.discriminator.auxiliary_weight = 1.0  # factor of the loss of condition
    # auxiliary; at least 0
    config.model.discriminator.norm = "batch"  # batch, layer, none or spectral
    config.model.discriminator.norm_ends = False  # apply norm to the first map too
    config.model.discriminator.activation = "leaky_relu"  # leaky_relu or relu
    config.model.discriminator.downsampling = "strided"  # strided, max_pool or
    # average_pool
    config.model.discriminator.hidden_dense = 0  # width of a dense layer before the
    # logit; 0: none

    config.recipe = ConfigDict()
    config.recipe.updates = "shared"  # shared, fresh, same_latents or simultaneous: see
    # recipes.py
    config.recipe.discriminator_batches = "separate"  # separate or joint
    config.recipe.discriminator_steps = 1  # discriminator updates in a step; [1, 32]
    config.recipe.generator_steps = 1  # generator updates in a step; [1, 32]
    config.recipe.loss = "non_saturating"  # a name in losses.LOSSES
    config.recipe.real_label = 1.0  # target of real logits; 0.9 smooths it; (0.5, 1]
    config.recipe.penalty = "none"  # none or a name in penalties.PENALTIES
    config.recipe.penalty_weight = 10.0  # factor of the penalty; at least 0
    config.recipe.lecam_weight = 0.0  # factor of the LeCam regulariser; at least 0
    config.recipe.lecam_decay = 0.99  # share that its mean logits keep in an update,
    # less in the first updates; [0, 1)
    config.recipe.augment = ""  # transformations of all images that the discriminator
    # sees: names in augmentation.AUGMENTATIONS with commas between them; "": none
    config.recipe.instance_noise = 0.0  # standard deviation of noise on the images,
    # which span [-1, 1]; at least 0
    config.recipe.packing = 1  # images that the discriminator judges together; [1, 16]
    config.recipe.clip_weights = 0.0  # bound of discriminator parameters; 0: no bound;
    # at least 0
    config.recipe.ema_decay = 0.0  # share that the generator's average keeps in an
    # update, less in the first updates; 0: no average; [0, 1)

    config.optimizer = ConfigDict()
    config.optimizer.schedule = "constant"  # schedule of both learning rates: constant,
    # or linear or cosine, which fall to 0 at the end of the run
    config.optimizer.warmup_steps = 0  # first steps, in which both learning rates rise
    # from 0; at least 0
    config.optimizer.decay_share = 0.5  # last share of the run, in which the learning
    # rates of the schedules linear and cosine fall; (0, 1]
    config.optimizer.generator = ConfigDict()
    config.optimizer.generator.name = "adam"  # see gan_jax/step/optimizers.py
    config.optimizer.generator.learning_rate = 2e-4  # at least 0
    config.optimizer.generator.b1 = 0.5  # decay of the mean of gradients; [0, 1)
    config.optimizer.generator.b2 = 0.999  # decay of the mean of squared gradients;
    # [0, 1)
    config.optimizer.discriminator = (
        config.optimizer.generator.copy_and_resolve_references()
    )

    config.evaluation = ConfigDict()
    config.evaluation.extractor = "mnist"  # pixels, mnist, stacked_mnist, classifier
    # or inception
    config.evaluation.weights = ""  # weights file of classifier or inception
    config.evaluation.metrics = "frechet_distance,class_distance"  # names in
    # evaluation/suite.py with commas between them; cheap and all stand for several
    config.evaluation.num_images = 10_000  # number of generated images, and largest
    # number of real images; at least 2
    config.evaluation.draws = 1  # draws with different seeds; two or more give a
    # standard error; [1, 10_000]
    config.evaluation.split = ""  # split of the real images; "": test, if there is one
    config.evaluation.statistics = "running"  # statistics of the generator's BatchNorm:
    # running, or batch, those of the generated batch
    config.evaluation.batch_size = 250  # images generated at once; at least 1
    config.evaluation.seed = 0  # seed of latents and of metrics that draw; [0, 2^32)
    config.evaluation.best_metric = ""  # number whose best checkpoint is kept in best/;
    # "": none. It is computed on evaluation.split. Report numbers on other images, for
    # example train with data.split train[:55000], choose with this split train[55000:]
    # and report on test

    config.watchdog = ConfigDict()
    config.watchdog.action = "warn"  # a rule that stays broken only warns, or it stops
    # the run, as a number that is not finite always does
    config.watchdog.patience = 5  # measurements in a row below a threshold before a
    # warning; twice as many stop the run. As long as a distance has never reached its
    # threshold, a rise by a tenth starts the count again; at least 1
    config.watchdog.min_d_loss = 0.02  # how far the discriminator's loss must stay
    # above its least possible value; nearer: it has won. Losses without a least value
    # have no such rule. 0 turns this rule off, as it does for each of the following
    config.watchdog.min_grad_norm = 1e-6  # norm of a network's gradient; lower: it has
    # stopped learning
    config.watchdog.min_sample_distance = 0.1  # distance between the images of a sample
    # grid, divided by that of real images; lower: they have collapsed
    config.watchdog.min_label_distance = 0.02  # distance between images of the same
    # latents and different labels, divided by that of the grid's images; lower: the
    # labels are ignored
    config.watchdog.retries = 0  # how often a run that stopped goes on from its last
    # good checkpoint, with other latents; this checkpoint is kept while a rule is
    # broken. Needs one process; [0, 100]
    return config


def use_networks(config: ConfigDict, name: str) -> None:
    """Chooses a model, and fills the networks' sections with the model's defaults.

    The docstrings of gan_jax/models/ say what each option means.

    Args:
      config: config that is changed in place.
      name: name in gan_jax.models.MODELS, or `module:name` of an own model.
    """
    config.model.name = name
    for network, options in models.default_options(name).items():
        config.model[network] = ConfigDict(options)


def with_preset(
    config: ConfigDict, presets: Mapping[str, Mapping[str, Any]], preset: str | None
) -> ConfigDict:
    """The config with the fields that a preset changes; a section is replaced.

    Args:
      config: config that is changed in place and returned.
      presets: changed fields of each preset, such as {"data.channels": 3}.
      preset: name in presets; None changes nothing.

    Raises:
      ValueError: the preset is unknown.
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
