"""Bytes, grids and files of images."""

import errno
import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from gan_jax.run import images


def test_to_uint8_rounds_and_clips():
    got = images.to_uint8(np.array([-2, -1, -0.998, -0.6, 0, 1, 1.5]))
    # -0.998 is 0.255 of a step above 0; 0 is 127.5, which rounds to even.
    np.testing.assert_array_equal(got, [0, 0, 0, 51, 128, 255, 255])
    assert got.dtype == np.uint8


def test_to_uint8_inverts_the_conversion_of_the_data():
    levels = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(images.to_uint8(levels / 127.5 - 1), levels)


def test_grid_is_filled_row_by_row_on_white():
    tiles = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 2, 1), np.uint8
    )
    grid = images.make_grid(tiles, 2, gap=1)[..., 0]
    expected = [[0, 0, 255, 1, 1], [255] * 5, [2, 2, 255, 255, 255]]
    np.testing.assert_array_equal(grid, expected)


def test_png_keeps_every_byte(tmp_path):
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        image = rng.integers(0, 256, (5, 7, channels), np.uint8)
        images.save_png(tmp_path / "image.png", image)
        with Image.open(tmp_path / "image.png") as opened:
            read = np.asarray(opened).reshape(image.shape)
        np.testing.assert_array_equal(read, image)
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


def test_mean_distance_by_hand():
    # Pairs of 1x2 images: (0, 0)-(3, 4), (0, 0)-(0, 0) and (3, 4)-(0, 0).
    tiles = np.array([[0, 0], [3, 4], [0, 0]], np.uint8).reshape(3, 1, 2, 1)
    expected = 2 * np.sqrt((9 + 16) / 2) / 3
    np.testing.assert_allclose(images.mean_distance(tiles), expected, rtol=1e-9, atol=0)
    assert images.mean_distance(tiles[:1]) == 0
    assert images.mean_distance(np.repeat(tiles[1:2], 5, axis=0)) < 1e-6


@pytest.mark.parametrize("save", ["save_png", "save_arrays"])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(
    tmp_path, monkeypatch, save
):
    def fail(self, other):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "replace", fail)
    image = np.zeros((2, 2, 1), np.uint8)
    arguments = [image] if save == "save_png" else []
    with pytest.raises(OSError, match="out cannot be written: No space left"):
        getattr(images, save)(tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_leaves_its_neighbours_alone(tmp_path):
    (tmp_path / "image.png.tmp").write_text("mine")
    images.save_png(tmp_path / "image.png", np.zeros((4, 4, 1), np.uint8))
    assert (tmp_path / "image.png.tmp").read_text() == "mine"


def test_a_folder_of_images_leaves_its_neighbours_alone(tmp_path):
    mine = tmp_path / "faces.tmp" / "photo.jpg"
    mine.parent.mkdir()
    mine.write_text("mine")
    plain = tmp_path / "plain"
    plain.mkdir()
    faces = tmp_path / "faces"
    images.save_folder(faces, np.zeros((2, 4, 4, 1), np.uint8))
    assert sorted(path.name for path in faces.iterdir()) == ["00000.png", "00001.png"]
    assert faces.stat().st_mode == plain.stat().st_mode
    assert sorted(tmp_path.iterdir()) == [faces, mine.parent, plain]
    assert mine.read_text() == "mine"


def test_a_folder_of_images_that_cannot_be_written_leaves_nothing(
    tmp_path, monkeypatch
):
    def fail(path, image):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(images, "save_png", fail)
    with pytest.raises(OSError, match="faces cannot be written: No space left"):
        images.save_folder(tmp_path / "faces", np.zeros((2, 4, 4, 1), np.uint8))
    assert list(tmp_path.iterdir()) == []
