"""DCGAN on MNIST, 28x28; on CelebA and on any folder of images, 64x64 RGB.

Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks (arXiv 1511.06434), in the recipe of the PyTorch DCGAN
example: one shared generator pass, discriminator first, Adam 2e-4 with b1 0.5.

    python -m gan_jax.main --config=configs/dcgan.py
    python -m gan_jax.main --config=configs/dcgan.py:mnist
    python -m gan_jax.main --config=configs/dcgan.py:paper
    python -m gan_jax.main --config=configs/dcgan.py:celeba
    python -m gan_jax.main --config=configs/dcgan.py:folder \
        --config.data.manual_dir=DIR

The default preset is `mnist`, which draws readable digits within minutes on two CPU
cores. As in the authors' code for MNIST (Newmu/dcgan_code on GitHub,
mnist/train_cond_dcgan.py), both networks have a dense hidden layer, here of 512 units
and there of 1,024. The convolutions have half the width of the PyTorch example's, the
learning rates are twice as high and fall to 0 over the second half of the run, and the
generator is averaged. The preset `paper` has the network of the PyTorch example, cut to
28x28, without a dense layer, without an average and with constant rates.

The 64x64 presets keep the paper's network, without dense layers. They cut out the
largest centre square and resize it, as the example's Resize(64) and CenterCrop(64) do.
`celeba` has the example's width and constant rates. `folder` is made for a first try:
it has half that width, an averaged generator and rates that fall over the second half
of 3,000 steps, which take 53 minutes on one core; see experiments/all_configs. If
CelebA cannot be downloaded, put its files into a folder and give that as
--config.data.manual_dir.
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
    "mnist": {
        "num_train_steps": 7_500,
        "model.generator.features": 32,
        "model.discriminator.features": 32,
        "model.generator.hidden_dense": 512,
        "model.discriminator.hidden_dense": 512,
        "recipe.ema_decay": 0.999,
        "optimizer.schedule": "linear",  # over the second half of the run
        "optimizer.generator.learning_rate": 4e-4,
        "optimizer.discriminator.learning_rate": 4e-4,
    },
    "paper": {},
    "celeba": {
        **RGB_64,
        "data.name": "celeb_a",
        "data.num_classes": 1,  # no label; --config.data.label=Smiling has 2 classes
        "num_train_steps": 32_000,  # 25 epochs of the split "train", as in the example
    },
    "folder": {
        **RGB_64,
        "data.name": "folder",
        "data.num_classes": 0,  # accepts any number of sub-folders
        "num_train_steps": 3_000,
        "model.generator.features": 32,
        "model.discriminator.features": 32,
        "recipe.ema_decay": 0.999,
        "optimizer.schedule": "linear",  # over the second half of the run
    },
}


def get_config(preset: str | None = "mnist") -> ConfigDict:
    """The config of a preset."""
    return default.with_preset(default.get_config(), PRESETS, preset)
