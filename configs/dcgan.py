"""DCGAN on MNIST, 28x28; on CelebA and on any folder of images, 64x64 RGB.

Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks (arXiv 1511.06434), in the recipe of the PyTorch DCGAN
example: one shared generator pass, discriminator first, Adam 2e-4 with b1 0.5.

    python -m gan_jax.main --config=configs/dcgan.py
    python -m gan_jax.main --config=configs/dcgan.py:celeba
    python -m gan_jax.main --config=configs/dcgan.py:folder \
        --config.data.manual_dir=DIR

On two cores of an AMD EPYC (Zen 5) the default's 10,000 steps took 18 minutes and 1.6
GB; about half of the sample grid can be read as digits at step 500, most of it at step
1,000 (experiments/dcgan_mnist). The presets have not been run to their end.

The 64x64 presets cut out the largest centre square and resize it, which is what the
example's Resize(64) and CenterCrop(64) leave. Where CelebA cannot be downloaded, its
files go to --config.data.manual_dir.
"""

from ml_collections import ConfigDict

from configs import default

RGB_64 = {
    "data.image_size": 64,
    "data.channels": 3,
    "data.crop": 0,
    "eval_every_steps": 0,  # no extractor for faces is shipped
    "evaluation.extractor": "pixels",
    "evaluation.metrics": "cheap",
}
PRESETS = {
    "celeba": {
        **RGB_64,
        "data.name": "celeb_a",
        "data.num_classes": 1,  # no label; with --config.data.label=Smiling it is 2
        "num_train_steps": 32_000,  # 25 epochs of the split "train", as the example
    },
    "folder": {
        **RGB_64,
        "data.name": "folder",
        "data.num_classes": 0,  # as many as the folder has sub-folders, all unused
    },
}


def get_config(preset: str | None = None) -> ConfigDict:
    """The default config, which is this one on MNIST, or a preset."""
    return default.with_preset(default.get_config(), PRESETS, preset)
