"""Names of TPU slices, their links, and times by hand."""

import numpy as np
import pytest

from gan_jax.training import tpu


@pytest.mark.parametrize(
    "name, shape",
    [
        ("v5e:16x16", (16, 16)),
        ("v6e:1x1", (1, 1)),
        ("v4:2x2x1", (2, 2, 1)),
        ("v4:12x12x24", (12, 12, 24)),
        ("v5p:16x16x24", (16, 16, 24)),
    ],
)
def test_a_slice_has_the_shape_of_its_name(name, shape):
    of = tpu.parse(name)
    assert (of.name, of.shape) == (name, shape)
    assert of.chips == np.prod(shape)
    assert of.chip == tpu.CHIPS[name.partition(":")[0]]


@pytest.mark.parametrize("name", ["", "v5e", "v9:2x2", "2x4", "V5E:2x4", "v5litepod-8"])
def test_a_name_without_a_known_generation_and_shape_is_refused(name):
    sentence = (
        "generations are v4, v5e, v5p, v6e" if name != "v5e" else "shapes are 1x1"
    )
    with pytest.raises(ValueError, match=sentence):
        tpu.parse(name)


@pytest.mark.parametrize(
    "name",
    ["v5e:3x5", "v5e:2x2x2", "v5e:4x2", "v5e:32x32", "v6e:2x4 ", "v5e:02x4", "v6e:2"],
)
def test_a_flat_slice_of_another_shape_is_refused_with_the_allowed_ones(name):
    with pytest.raises(ValueError, match="is no shape of a TPU v.e slice.*4x8, 8x8, 8"):
        tpu.parse(name)


@pytest.mark.parametrize(
    "name",
    ["v4:2x4", "v4:8x4x4", "v5p:4x4x6", "v5p:0x4x4", "v4:16x16x24", "v5p:4x4x+4"],
)
def test_a_cubed_slice_of_another_shape_is_refused_with_the_allowed_ones(name):
    most = "4,096" if name.startswith("v4") else "6,144"
    with pytest.raises(ValueError, match=f"2x4x4, and AxBxC.*at most {most} chips"):
        tpu.parse(name)


@pytest.mark.parametrize(
    "name, links, of_all",
    [
        ("v5e:1x1", 0, 4),
        ("v5e:2x4", 2, 4),  # a corner of a mesh
        ("v5e:8x16", 3, 4),  # only the longer dimension wraps around
        ("v5e:16x16", 4, 4),
        ("v4:2x2x1", 2, 6),
        ("v4:2x4x4", 3, 6),
        ("v4:4x4x8", 6, 6),
    ],
)
def test_a_chip_at_a_corner_sends_on_its_links(name, links, of_all):
    of = tpu.parse(name)
    expected = of.chip.link_bytes_per_second * links / of_all
    np.testing.assert_allclose(of.link_bytes_per_second, expected, rtol=1e-12, atol=0)


def test_times_are_those_by_hand():
    # 2 chips of 1 TFLOP/s, 100 GB/s of memory and 60 GB/s on 6 links; one is used.
    chip = tpu.Chip(2**30, 1e12, 100e9, 60e9, True, 64)
    work = tpu.Work(flop=21e9, bytes=43e9, all_reduces=3, reduced_bytes=50e6)
    times = tpu.roofline(tpu.Slice("two", chip, (2, 1, 1)), work)
    # 21 GFLOP / 1 TFLOP/s; 43 GB / 100 GB/s; 2 (2 - 1) / 2 * 50 MB / 10 GB/s.
    np.testing.assert_allclose(times, (0.021, 0.43, 0.005), rtol=1e-12, atol=0)
    np.testing.assert_allclose(times.step, 0.435, rtol=1e-12, atol=0)


def test_a_single_chip_reduces_nothing():
    work = tpu.Work(flop=1e9, bytes=1e6, all_reduces=3, reduced_bytes=50e6)
    times = tpu.roofline(tpu.parse("v5e:1x1"), work)
    assert times.all_reduce == 0 and times.step == times.compute == 1e9 / 197e12
