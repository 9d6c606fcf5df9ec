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

Without a preset it is `mnist`, which draws digits that can be read within minutes on
two CPU cores. As in the authors' own code for MNIST (Newmu/dcgan_code on GitHub,
mnist/train_cond_dcgan.py), both networks have a dense hidden layer; theirs has 1,024
units. The convolutions have half the width of the PyTorch example's, the learning rates
are twice as high and fall to 0 over the second half of the run, and the generator is
averaged. The preset `paper` has the network of the PyTorch example, cut to 28x28: no
dense layer, no average and constant rates.

The 64x64 presets keep the paper's network. They cut out the largest centre square and
resize it, which is what the example's Resize(64) and CenterCrop(64) leave. Where CelebA
cannot be downloaded, its files go to --config.data.manual_dir.
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
        "num_train_steps": 6_000,
        "eval_every_steps": 2_000,
        "model.generator.features": 32,
        "model.discriminator.features": 32,
        "model.generator.hidden_dense": 256,
        "model.discriminator.hidden_dense": 256,
        "recipe.ema_decay": 0.999,
        "optimizer.schedule": "linear",  # over the second half of the run
        "optimizer.generator.learning_rate": 4e-4,
        "optimizer.discriminator.learning_rate": 4e-4,
    },
    "paper": {},
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


def get_config(preset: str | None = "mnist") -> ConfigDict:
    """One of the presets."""
    return default.with_preset(default.get_config(), PRESETS, preset)
