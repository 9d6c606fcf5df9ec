"""Published values: as in the papers, with spreads, protocols and doubts."""

import csv
import importlib

import pytest

from experiments.engine import published, trials

VALUES = published.VALUES


@pytest.mark.parametrize(
    "key, value, spread",
    [
        ("veegan/ring/VEEGAN/modes", 8, None),
        ("veegan/grid/GAN/high_quality", 0.005, None),
        ("pacgan/ring/GAN/modes", 6.3, 0.5),
        ("pacgan/ring/GAN/high_quality", 0.982, 0.002),
        ("pacgan/ring/PacGAN 4/high_quality", 0.959, 0.014),
        ("pacgan/grid/PacGAN 2/reverse_kl", 0.13, 0.04),
        ("pacgan/grid/PacGAN 4/modes", 24.8, 0.2),
        ("pacgan/stacked/DCGAN/modes", 78.9, 6.46),
        ("pacgan/stacked/PacDCGAN2/modes", 1000, 0),
        ("pacgan/stacked/PacDCGAN3/modes", 1000, 0),
        ("pacgan/stacked/PacDCGAN4/reverse_kl", 0.07, 0.005),
        ("goodfellow2014/parzen/mnist", 225, 2),
        ("cgan/parzen/mnist", 132, 1.8),
        ("lucic/mnist/NS GAN/fid", 6.8, 0.5),
        ("lucic/cifar10/LSGAN/fid", 87.1, 47.5),
        ("lucic/celeba/WGAN-GP/fid", 30.0, 1.0),
        ("mimicry/cifar10/DCGAN/fid", 28.95, 0.42),
        ("mimicry/cifar10_50k/SNGAN/fid", 16.77, 0.04),
        ("mimicry/celeba64/SNGAN/fid", 5.71, 0.02),
        ("ttur/celeba/DCGAN/fid", 21.4, None),
    ],
)
def test_values_are_those_of_the_papers(key, value, spread):
    assert VALUES[key].value == value
    assert VALUES[key].spread == spread


@pytest.mark.parametrize(
    "prefix, doubts",
    [
        ("ttur/celeba/DCGAN", "carry the same FID"),
        ("lucic/celeba/WGAN-GP", "30.3 in an earlier copy"),
        ("pacgan/ring/GAN/", "disagree on the plain GAN"),
        ("veegan/grid/GAN/", "disagree on the plain GAN"),
        ("goodfellow2014/", "150 nats"),
        ("cgan/", "150 nats"),
        ("mimicry/cifar10/DCGAN/", "49.03"),
    ],
)
def test_doubts_are_kept(prefix, doubts):
    entries = [entry for key, entry in VALUES.items() if key.startswith(prefix)]
    assert entries
    assert all(doubts in entry.doubts for entry in entries)


def test_every_value_says_where_it_is_from_and_how_it_was_measured():
    kinds = {"standard error", "standard deviation", "not said"}
    for key, entry in VALUES.items():
        assert all((entry.paper, entry.arxiv, entry.table, entry.protocol)), key
        assert entry.number != "high_quality" or 0 <= entry.value <= 1, key
        assert entry.spread_kind in kinds, key
    for key in ("pacgan/ring/GAN/modes", "goodfellow2014/parzen/mnist"):
        assert VALUES[key].spread_kind == "standard error"
    assert VALUES["pacgan/stacked/DCGAN/modes"].spread_kind == "standard error"
    assert VALUES["lucic/mnist/WGAN/fid"].spread_kind == "standard deviation"
    assert VALUES["pacgan/ring/GAN/modes"].source == "Lin et al. 2018, table 1"


def test_every_value_is_quoted_by_a_page_and_every_table_has_one():
    quoted = set()
    for path in trials.FOLDER.glob("*/experiment.py"):
        name = f"experiments.{path.parent.name}.experiment"
        for part in importlib.import_module(name).EXPERIMENT.parts.values():
            quoted.update(*part.published.values())
    assert quoted == set(VALUES)
    with (published.FOLDER / "sources.csv").open(newline="") as file:
        tables = {line["table"] for line in csv.DictReader(file)}
    assert {entry.table for entry in VALUES.values()} == tables
