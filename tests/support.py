"""What tests of several folders share: every config, and a run that takes seconds."""

import importlib
from pathlib import Path

from ml_collections import ConfigDict

from configs import default, gan

IMAGE_SIZE = 16

FOLDER = Path(default.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "default")
MODULES = {name: importlib.import_module(f"configs.{name}") for name in NAMES}
CASES = [
    (name, preset)
    for name, module in MODULES.items()
    for preset in (None, *getattr(module, "PRESETS", ()))
]


# Fields of a run of two steps with everything at its end, for configs of any kind.
TWO_STEPS = {
    "num_train_steps": 2,
    "batch_size": 8,
    "steps_per_call": 2,
    "log_every_steps": 2,
    "sample_every_steps": 2,
    "checkpoint_every_steps": 2,
    "eval_every_steps": 2,
    "sample_rows": 2,
    "sample_columns": 2,
    "tensorboard": False,
    "evaluation.num_images": 20,
}


def get_config(name, preset):
    """The config of configs/<name>.py with a preset, or without if it is None."""
    module = MODULES[name]
    return module.get_config() if preset is None else module.get_config(preset)


def make_tiny_config(folder) -> ConfigDict:
    """The default config, made small, on the data in `folder`."""
    config = default.get_config()
    config.num_train_steps = 4
    config.batch_size = 8
    config.steps_per_call = 2
    config.log_every_steps = 2
    config.sample_every_steps = 2
    config.checkpoint_every_steps = 2
    config.eval_every_steps = 0
    config.sample_rows = config.sample_columns = 2
    config.tensorboard = False
    config.data.name = "array"
    config.data.manual_dir = str(folder / "images.npz")
    config.data.cache_dir = str(folder / "cache")
    config.data.image_size = IMAGE_SIZE
    config.data.num_classes = 3
    config.evaluation.extractor = "pixels"
    config.evaluation.metrics = "frechet_distance"
    config.evaluation.num_images = 20
    config.model.latent_size = 5
    config.model.generator.features = 4
    config.model.discriminator.features = 4
    config.lock()
    return config


def make_conditional_config(folder) -> ConfigDict:
    """The same with the label as a one-hot code at both inputs."""
    config = make_tiny_config(folder)
    config.model.generator.condition = "onehot"
    config.model.discriminator.condition = "onehot"
    return config


def make_dense_config(folder) -> ConfigDict:
    """The tiny config with dense networks, which are compiled in a moment."""
    config = make_tiny_config(folder)
    dense = gan.get_config()
    with config.unlocked():
        config.model.name = "mlp"
        for network in ("generator", "discriminator"):
            config.model[network] = dense.model[network]
            config.model[network].features = (8,)
    return config
