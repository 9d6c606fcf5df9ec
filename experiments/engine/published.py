"""Published values that experiments quote, each with its source, protocol and doubts.

They are shown beside ours, never ranked with them: protocols differ. A value was read
in a copy of the paper or in its code, unless `doubts` says that it was not.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

STANDARD_ERROR = "standard error"
STANDARD_DEVIATION = "standard deviation"
NOT_SAID = "not said"
MEMORY = "from memory, unverified"
NETS_DIFFER = "VEEGAN and PacGAN disagree on the plain GAN: their networks differ"
SAME_FID = "the CelebA and SVHN rows carry the same FID (bioinf-jku/TTUR#19)"
# Published in percent, here a share in [0, 1].
SHARES = ("high_quality", "linear_probe", "error", "nearest_neighbour_error")


class Published(NamedTuple):
    """One value of a paper.

    Attributes:
      paper: authors and year, a comma, a short title.
      arxiv: number of the paper.
      table: of the paper, such as "table 1".
      row: of the table.
      number: what is measured, by gan_jax's name where it has one.
      value: in gan_jax's unit: shares in [0, 1] even where the paper has percent.
      spread: as the paper gives it, in the same unit; None without any.
      spread_kind: "standard error", "standard deviation" or "not said".
      protocol: in one sentence.
      doubts: "" or one sentence.
    """

    paper: str
    arxiv: str
    table: str
    row: str
    number: str
    value: float
    spread: float | None
    spread_kind: str
    protocol: str
    doubts: str

    @property
    def source(self) -> str:
        """Such as "Lin et al. 2018, table 1"."""
        return f"{self.paper.partition(',')[0]}, {self.table}"


class _Source(NamedTuple):
    """What the values of one table share."""

    paper: str
    arxiv: str
    table: str
    protocol: str
    spread_kind: str = NOT_SAID
    doubts: str = ""


def _entries(
    source: _Source, keys: str, rows: str, doubts: Mapping[str, str] = {}
) -> Iterator[tuple[str, Published]]:
    """The values of a table.

    Args:
      source: of all of them.
      keys: of the columns, spaces between, "{}" where the row's name goes; the last
        component is the number, or it follows "=".
      rows: one a line, the name, "|", and a cell for each key: 6.3, 6.3±0.5, or "-"
        where the paper has none.
      doubts: by key, in place of the source's.
    """
    for line in rows.strip().splitlines():
        row, _, cells = (part.strip() for part in line.partition("|"))
        for template, cell in zip(keys.split(), cells.split(), strict=True):
            if cell == "-":
                continue
            key, _, number = template.replace("{}", row).partition("=")
            number = number or key.rpartition("/")[2]
            scale = 100 if number in SHARES else 1
            value, *spread = (round(float(x) / scale, 6) for x in cell.split("±"))
            yield (
                key,
                Published(
                    *(source.paper, source.arxiv, source.table, row, number, value),
                    *(spread[0] if spread else None, source.spread_kind),
                    *(source.protocol, doubts.get(key, source.doubts)),
                ),
            )


def _of_plain_gan(paper: str) -> dict[str, str]:
    numbers = ("modes", "high_quality", "reverse_kl")
    return {
        f"{paper}/{data}/GAN/{number}": NETS_DIFFER
        for data in ("ring", "grid")
        for number in numbers
    }


def _mixtures() -> Iterator[tuple[str, Published]]:
    """Rings and grids of normals, and the 1200-D mixture."""
    veegan = _Source(
        "Srivastava et al. 2017, VEEGAN",
        "1705.07761",
        "table 1",
        "2,500 samples, mean of 5 runs, high quality within 3 standard deviations of "
        "a mode (10 in 1200 dimensions)",
    )
    keys = """
        veegan/ring/{}/modes veegan/ring/{}/high_quality
        veegan/grid/{}/modes veegan/grid/{}/high_quality
        veegan/1200d/{}/modes veegan/1200d/{}/high_quality
        """
    rows = """
        GAN          | 1    99.3   3.3  0.5   1.6 2.0
        ALI          | 2.8  0.13  15.8  1.6   3   5.4
        Unrolled GAN | 7.6 35.6   23.6 16     0   0.0
        VEEGAN       | 8   52.9   24.6 40     5.5 28.29
        """
    yield from _entries(veegan, keys, rows, _of_plain_gan("veegan"))
    pacgan = _Source(
        "Lin et al. 2018, PacGAN",
        "1712.04086",
        "table 1",
        "10 runs of 400 epochs over 100,000 examples, both networks updated at once, "
        "2,500 samples, high quality within 3 standard deviations of a mode",
        STANDARD_ERROR,
    )
    keys = """
        pacgan/ring/{}/modes pacgan/ring/{}/high_quality pacgan/ring/{}/reverse_kl
        pacgan/grid/{}/modes pacgan/grid/{}/high_quality pacgan/grid/{}/reverse_kl
        """
    rows = """
        GAN      | 6.3±0.5 98.2±0.2 0.45±0.09  17.3±0.8 94.8±0.7 0.70±0.07
        ALI      | 6.6±0.3 97.6±0.4 0.36±0.04  24.1±0.4 95.7±0.6 0.14±0.03
        PacGAN 2 | 7.9±0.1 95.6±2.0 0.07±0.03  23.8±0.7 91.3±0.8 0.13±0.04
        PacGAN 3 | 7.8±0.1 97.7±0.3 0.10±0.02  24.6±0.4 94.2±0.6 0.06±0.02
        PacGAN 4 | 7.8±0.1 95.9±1.4 0.07±0.02  24.8±0.2 93.6±0.6 0.04±0.01
        """
    yield from _entries(pacgan, keys, rows, _of_plain_gan("pacgan"))


def _stacked_mnist() -> Iterator[tuple[str, Published]]:
    """Digits in three colour channels, 1,000 modes, with one DCGAN for all."""
    veegan = _Source(
        "Srivastava et al. 2017, VEEGAN",
        "1705.07761",
        "table 2",
        "26,000 samples of a DCGAN of four convolutions after 50 epochs of 128,000 "
        "images, one discriminator and two generator updates a step",
    )
    rows = """
        DCGAN        |  99   3.4
        ALI          |  16   5.4
        Unrolled GAN |  48.7 4.32
        VEEGAN       | 150   2.95
        """
    keys = "veegan/stacked/{}/modes veegan/stacked/{}/reverse_kl"
    yield from _entries(veegan, keys, rows)
    pacgan = veegan._replace(
        paper="Lin et al. 2018, PacGAN",
        arxiv="1712.04086",
        protocol=f"{veegan.protocol}; 10 runs",
    )
    rows = """
        DCGAN     |   78.9±6.46 4.50±0.127
        PacDCGAN2 | 1000±0      0.06±0.003
        PacDCGAN3 | 1000        0.06±0.003
        PacDCGAN4 | 1000        0.07±0.005
        """
    keys = "pacgan/stacked/{}/modes pacgan/stacked/{}/reverse_kl"
    yield from _entries(pacgan, keys, rows)


def _other_stacked_mnist() -> Iterator[tuple[str, Published]]:
    """The same data with tiny networks, and with a recent one."""
    pacgan = _Source(
        "Lin et al. 2018, PacGAN",
        "1712.04086",
        "table 3",
        "50 runs of 500,000 steps of tiny networks, 25,600 samples, the discriminator "
        "a quarter or half of the generator",
    )
    keys = """
        pacgan/stacked_quarter/{}/modes pacgan/stacked_quarter/{}/reverse_kl
        pacgan/stacked_half/{}/modes pacgan/stacked_half/{}/reverse_kl
        """
    rows = """
        DCGAN of Unrolled |  30.6±20.73 5.99±0.42  628.0±140.9 2.58±0.75
        Unrolled 1        |  65.4±34.75 5.91       523.6       2.44
        Unrolled 5        | 236.4±63.30 4.67       732.0       1.66
        Unrolled 10       | 327.2±74.67 4.66       817.4       1.43
        DCGAN             |  78.5±17.56 5.21±0.19  487.7±34.59 2.24
        PacDCGAN2         | 484.5±32.99 2.61       840.7±15.92 1.00
        PacDCGAN3         | 601.3±32.18 2.00       866.6       0.90
        PacDCGAN4         | 667.4±29.0  1.81       820.2       1.15
        """
    yield from _entries(pacgan, keys, rows)
    r3gan = _Source(
        "Huang et al. 2024, The GAN is dead; long live the GAN!",
        "2501.05441",
        "table not noted",
        "not noted",
        doubts=MEMORY,
    )
    rows = """
        R3GAN         | 1000 0.029
        ablation net  | -    0.0781
        GAN + R1 + R2 |  693 0.927
        """
    keys = "r3gan/stacked/{}/modes r3gan/stacked/{}/reverse_kl"
    yield from _entries(r3gan, keys, rows)


def _parzen() -> Iterator[tuple[str, Published]]:
    """Log-likelihoods of Parzen windows, in nats."""
    paper = _Source(
        "Goodfellow et al. 2014, Generative Adversarial Nets",
        "1406.2661",
        "table 1",
        "10,000 samples, the width chosen among 10 on 1,000 validation images",
        doubts="the same number moves by 150 nats with details of the training",
    )
    rows = """
        DBN         | 138±2   1909±66
        Stacked CAE | 121±1.6 2110±50
        Deep GSN    | 214±1.1 1890±29
        """
    keys = """
        goodfellow2014/parzen/{}/mnist=parzen_log_likelihood
        goodfellow2014/parzen/{}/tfd=parzen_log_likelihood
        """
    yield from _entries(paper, keys, rows)
    row = "Adversarial nets | 225±2 2057±26"
    yield from _entries(paper, keys.replace("{}/", ""), row)
    cgan = paper._replace(
        paper="Mirza and Osindero 2014, Conditional Generative Adversarial Nets",
        arxiv="1411.1784",
    )
    row = "Conditional adversarial nets | 132±1.8"
    yield from _entries(cgan, "cgan/parzen/mnist=parzen_log_likelihood", row)


def _dcgan() -> Iterator[tuple[str, Published]]:
    """What DCGAN's features and samples are good for."""
    table = _Source(
        "Radford et al. 2015, DCGAN",
        "1511.06434",
        "table 1",
        "L2-SVM on all convolutional layers, pooled to 4x4 (28,672 numbers), of a "
        "discriminator trained on ImageNet-1k",
    )
    rows = """
        1-layer K-means | 80.6
        3-layer K-means | 82.0
        Exemplar CNN    | 84.3
        DCGAN           | 82.8
        """
    yield from _entries(table, "dcgan/cifar10/{}/linear_probe", rows)
    table = table._replace(
        table="table 2",
        protocol="1,000 labels, L2-SVM on the discriminator's features, its constant "
        "chosen between 1e-4 and 1e-2",
    )
    rows = """
        DCGAN          | 22.48
        supervised CNN | 28.87
        """
    doubts = {"dcgan/svhn/supervised CNN/error": "on the validation set"}
    yield from _entries(table, "dcgan/svhn/{}/error", rows, doubts)
    table = table._replace(
        table="table 3",
        protocol="nearest neighbour among 50,000 or 10 million images",
        doubts=MEMORY,
    )
    rows = """
        real      | 3.1  -
        InfiMNIST | -    2.6
        GAN       | 6.28 5.65
        DCGAN     | 2.98 1.48
        """
    keys = """
        dcgan/mnist_50k/{}/nearest_neighbour_error
        dcgan/mnist_10m/{}/nearest_neighbour_error
        """
    yield from _entries(table, keys, rows)


def _lucic() -> Iterator[tuple[str, Published]]:
    """FID of many losses under one protocol."""
    lucic = _Source(
        "Lucic et al. 2018, Are GANs Created Equal?",
        "1711.10337",
        "best FIDs",
        "InfoGAN's networks, 100 wide hyper-parameter samples, 50 seeds of the best, "
        "Inception FID on the test set",
        STANDARD_DEVIATION,
    )
    keys = """
        lucic/mnist/{}/fid lucic/fashion_mnist/{}/fid
        lucic/cifar10/{}/fid lucic/celeba/{}/fid
        """
    rows = """
        MM GAN  |  9.8±0.9 29.6±1.6 72.7±3.6  65.6±4.2
        NS GAN  |  6.8±0.5 26.5±1.6 58.5±1.9  55.0±3.3
        LSGAN   |  7.8±0.6 30.7±2.2 87.1±47.5 53.9±2.8
        WGAN    |  6.7±0.4 21.5±1.6 55.2±2.3  41.3±2.0
        WGAN-GP | 20.3±5.0 24.5±2.1 55.8±0.9  30.3±1.0
        DRAGAN  |  7.6±0.4 27.7±1.2 69.8±2.0  42.3±3.0
        BEGAN   | 13.1±1.0 22.9±0.9 71.4±1.6  38.9±0.9
        """
    doubts = {"lucic/celeba/WGAN-GP/fid": "30.0 in another copy"}
    yield from _entries(lucic, keys, rows, doubts)


def _compare_gan() -> Iterator[tuple[str, Published]]:
    """FID of normalisations and penalties, beside their hyper-parameters."""
    notes = _Source(
        "Kurach et al. 2018, A Large-Scale Study on Regularization and Normalization",
        "1807.04720",
        "notes in compare_gan v2",
        "200,000 steps, batch 64, Inception FID",
    )
    rows = """
        SNDCGAN, no norm, 1e-4 | 28.66
        SNDCGAN, no norm, 2e-4 | 33.23
        SNDCGAN, SN, 2e-4      | 25.27
        SNDCGAN, SN, 1e-4      | 26.16
        SNDCGAN, SN, GP        | 26.00
        ResNet, SN, 5 D steps  | 22.91
        """
    yield from _entries(notes, "compare_gan/cifar10/{}/fid", rows)
    faces = notes._replace(
        protocol="Inception FID",
        doubts="two values are noted for one row, not what tells them apart",
    )
    rows = """
        no norm, first  | 61.15
        no norm, second | 62.96
        SN, first       | 28.21
        SN, second      | 29.92
        """
    yield from _entries(faces, "compare_gan/celebahq128/{}/fid", rows)
    pagan = notes._replace(
        paper="Zhang and Khoreva 2019, PA-GAN",
        arxiv="1901.10422",
        table="table not noted",
        protocol="median of its own runs of NS GAN with SNDCGAN",
    )
    yield from _entries(pagan, "pagan/cifar10/{}/fid", "SNDCGAN | 26.3")
    quoted = notes._replace(
        table="quoted by PA-GAN", protocol="NS GAN with SNDCGAN, Inception FID"
    )
    yield from _entries(quoted, "kurach/cifar10/{}/fid", "SNDCGAN | 26.7")


def _sngan() -> Iterator[tuple[str, Published]]:
    """CIFAR-10 with different normalisations of the discriminator."""
    sngan = _Source(
        "Miyato et al. 2018, Spectral Normalization",
        "1802.05957",
        "table 2",
        "100,000 generator updates, batch 64, FID of 5,000 generated and 10,000 real "
        "images",
    )
    rows = """
        real              | 11.24      7.8
        weight clipping   | 6.41±0.11 42.6
        GAN-GP            | 6.93      37.7
        WGAN-GP           | 6.68      40.2
        batch norm        | 6.27      56.3
        layer norm        | 7.19      33.9
        weight norm       | 6.84      34.7
        orthonormal       | 7.40      29.0
        SNGAN             | 7.42±0.08 29.3
        SNGAN, hinge      | 7.58      25.5
        ResNet SNGAN      | 8.22±0.05 21.7±0.21
        """
    keys = "sngan/cifar10/{}/inception_score sngan/cifar10/{}/fid"
    yield from _entries(sngan, keys, rows)


def _mimicry() -> Iterator[tuple[str, Published]]:
    """Reproductions of CIFAR-10's FIDs by one code, and its own baselines."""
    mimicry = _Source(
        "Lee and Town 2020, Mimicry",
        "2005.02494",
        "reproducibility table",
        "its own runs, each under the protocol of the paper that it reproduces",
    )
    rows = """
        DCGAN       | 28.95±0.42 28.12
        WGAN-GP     | 26.08±0.12 29.3
        SNGAN       | 23.90±0.20 21.7
        cGAN-PD     | 17.84±0.17 17.5
        SSGAN       | 17.61±0.14 17.88
        InfoMax-GAN | 17.14±0.20 -
        """
    keys = "mimicry/cifar10/{}/fid mimicry/cifar10_reported/{}/fid"
    studio = {"mimicry/cifar10/DCGAN/fid": "49.03 in StudioGAN: another net, protocol"}
    yield from _entries(mimicry, keys, rows, studio)
    baselines = mimicry._replace(
        table="baselines",
        protocol="50,000 generated and 50,000 real images, 100,000 steps, batch 64",
    )
    rows = """
        WGAN-GP | 22.29
        SNGAN   | 16.77
        cGAN-PD | 10.84
        SSGAN   | 14.65
        """
    yield from _entries(baselines, "mimicry/cifar10_50k/{}/fid", rows)
    keys = "mimicry/celeba64/{}/fid mimicry/celeba64/{}/kid"
    yield from _entries(baselines, keys, "SNGAN | 5.71±0.02 0.0033")


def _ttur() -> Iterator[tuple[str, Published]]:
    """FID with one learning rate for both networks and with two."""
    ttur = _Source(
        "Heusel et al. 2017, Two Time-Scale Update Rule",
        "1706.08500",
        "table 1",
        "batch 64, FID of 50,000 samples against the whole training set; in the DCGAN "
        "rows the discriminator's rate is below the generator's",
    )
    keys = "ttur/celeba/{}/fid ttur/cifar10/{}/fid ttur/svhn/{}/fid ttur/lsun/{}/fid"
    rows = """
        DCGAN TTUR   | 12.5 36.9 12.5 57.5
        DCGAN        | 21.4 37.7 21.4 70.4
        WGAN-GP TTUR | -    24.8 -     9.5
        WGAN-GP      | -    29.3 -    20.5
        """
    same = {
        f"ttur/{data}/{row}/fid": SAME_FID
        for data in ("celeba", "svhn")
        for row in ("DCGAN", "DCGAN TTUR")
    }
    yield from _entries(ttur, keys, rows, same)


VALUES: Mapping[str, Published] = dict(
    entry
    for family in (
        *(_mixtures, _stacked_mnist, _other_stacked_mnist, _parzen, _dcgan),
        *(_lucic, _compare_gan, _sngan, _mimicry, _ttur),
    )
    for entry in family()
)
