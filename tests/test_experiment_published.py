"""Published values: as in the papers, with spreads, protocols and doubts."""

import pytest

from experiments.engine import published

VALUES = published.VALUES


@pytest.mark.parametrize(
    "key, value, spread",
    [
        ("veegan/ring/VEEGAN/modes", 8, None),
        ("veegan/ring/ALI/high_quality", 0.0013, None),
        ("veegan/1200d/VEEGAN/high_quality", 0.2829, None),
        ("pacgan/ring/GAN/modes", 6.3, 0.5),
        ("pacgan/ring/GAN/high_quality", 0.982, 0.002),
        ("pacgan/ring/PacGAN 4/high_quality", 0.959, 0.014),
        ("pacgan/grid/PacGAN 2/reverse_kl", 0.13, 0.04),
        ("pacgan/grid/PacGAN 4/modes", 24.8, 0.2),
        ("veegan/stacked/DCGAN/modes", 99, None),
        ("pacgan/stacked/DCGAN/modes", 78.9, 6.46),
        ("pacgan/stacked/PacDCGAN2/modes", 1000, 0),
        ("pacgan/stacked_half/DCGAN/modes", 487.7, 34.59),
        ("pacgan/stacked_quarter/PacDCGAN4/reverse_kl", 1.81, None),
        ("r3gan/stacked/R3GAN/reverse_kl", 0.029, None),
        ("goodfellow2014/parzen/mnist", 225, 2),
        ("goodfellow2014/parzen/Deep GSN/tfd", 1890, 29),
        ("cgan/parzen/mnist", 132, 1.8),
        ("dcgan/cifar10/DCGAN/linear_probe", 0.828, None),
        ("dcgan/svhn/DCGAN/error", 0.2248, None),
        ("dcgan/mnist_10m/DCGAN/nearest_neighbour_error", 0.0148, None),
        ("lucic/mnist/NS GAN/fid", 6.8, 0.5),
        ("lucic/cifar10/LSGAN/fid", 87.1, 47.5),
        ("lucic/celeba/WGAN-GP/fid", 30.3, 1.0),
        ("compare_gan/cifar10/SNDCGAN, SN, 2e-4/fid", 25.27, None),
        ("sngan/cifar10/SNGAN/inception_score", 7.42, 0.08),
        ("sngan/cifar10/ResNet SNGAN/fid", 21.7, 0.21),
        ("mimicry/cifar10/SNGAN/fid", 23.90, 0.20),
        ("mimicry/celeba64/SNGAN/kid", 0.0033, None),
        ("ttur/cifar10/DCGAN TTUR/fid", 36.9, None),
        ("ttur/lsun/WGAN-GP/fid", 20.5, None),
    ],
)
def test_values_are_those_of_the_notes(key, value, spread):
    assert VALUES[key].value == value
    assert VALUES[key].spread == spread


@pytest.mark.parametrize(
    "prefix, doubts",
    [
        ("r3gan/", "from memory, unverified"),
        ("dcgan/mnist_", "from memory, unverified"),
        ("ttur/celeba/DCGAN", "carry the same FID"),
        ("ttur/svhn/DCGAN", "carry the same FID"),
        ("lucic/celeba/WGAN-GP", "30.0 in another copy"),
        ("pacgan/ring/GAN/", "disagree on the plain GAN"),
        ("veegan/grid/GAN/", "disagree on the plain GAN"),
        ("goodfellow2014/", "150 nats"),
        ("cgan/", "150 nats"),
        ("mimicry/cifar10/DCGAN/", "49.03"),
        ("compare_gan/celebahq128/", "not what tells them apart"),
        ("dcgan/svhn/supervised", "validation"),
    ],
)
def test_doubts_are_kept(prefix, doubts):
    entries = [entry for key, entry in VALUES.items() if key.startswith(prefix)]
    assert entries
    assert all(doubts in entry.doubts for entry in entries)


def test_every_value_says_where_it_is_from_and_how_it_was_measured():
    for key, entry in VALUES.items():
        assert all((entry.paper, entry.arxiv, entry.table, entry.protocol)), key
        assert entry.number not in published.SHARES or 0 <= entry.value <= 1, key
    assert VALUES["pacgan/ring/GAN/modes"].spread_kind == "standard error"
    assert VALUES["lucic/mnist/WGAN/fid"].spread_kind == "standard deviation"
    assert VALUES["goodfellow2014/parzen/mnist"].spread_kind == "not said"
    assert VALUES["goodfellow2014/parzen/mnist"].number == "parzen_log_likelihood"
    assert VALUES["pacgan/ring/GAN/modes"].source == "Lin et al. 2018, table 1"
