"""Decoding one image file of any kind, and the crop and resize of all sources."""

import numpy as np
from PIL import Image
import pytest

from gan_jax.data import decode, resize

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (8, 8, 3), np.uint8)
GREY = RNG.integers(0, 256, (8, 8), np.uint8)


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PHOTO)

    def refuse(*args, **kwargs):  # The tests may run as root, who may read all.
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(decode.RefusedError, match="no permission"):
        decode.decode(path, channels=3)


def test_palette_is_expanded(tmp_path):
    path = save(tmp_path / "a.png", np.repeat(GREY[..., None], 3, -1), mode="P")
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode.decode(path, channels=3), expected)


def test_cmyk_becomes_rgb(tmp_path):
    # Ink 0 is white and ink 255 black: RGB = 255 - ink where black is 0.
    ink = np.dstack([PHOTO, np.zeros((8, 8), np.uint8)])
    Image.frombytes("CMYK", (8, 8), ink.tobytes()).save(tmp_path / "a.tiff")
    path = tmp_path / "a.tiff"
    np.testing.assert_array_equal(decode.decode(path, channels=3), 255 - PHOTO)


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
def test_16_bit_grey_is_scaled_to_8_bits(tmp_path, suffix):
    wide = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
    path = save(tmp_path / f"a.{suffix}", wide)
    # 128 / 257 rounds down, 129 / 257 up.
    image = decode.decode(path, channels=1)
    np.testing.assert_array_equal(image[0, :, 0], [0, 0, 1, 100, 255])


@pytest.mark.parametrize("alpha", [0, 102, 255])
def test_transparency_is_laid_on_white(tmp_path, alpha):
    pixel = np.array([[[200, 100, 50, alpha]]], np.uint8)
    path = save(tmp_path / "a.png", pixel)
    share = alpha / 255
    expected = np.round(share * pixel[0, 0, :3] + (1 - share) * 255)
    np.testing.assert_allclose(
        decode.decode(path, channels=3)[0, 0], expected, rtol=0, atol=1
    )


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    path = save(tmp_path / "a.png", PHOTO, exif=exif)
    expected = np.rot90(PHOTO, k=-1)
    np.testing.assert_array_equal(decode.decode(path, channels=3), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "LAB", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_channels_asked_for(tmp_path, mode, channels):
    path = save(tmp_path / "a.tiff", PHOTO, mode=mode)
    assert decode.decode(path, channels).shape == (8, 8, channels)


def test_crop_takes_the_centre():
    image = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    square = resize.crop_and_resize(image, crop=2, size=2, channels=1)
    # Rows 1 and 2 of 5, columns 2 and 3 of 6.
    np.testing.assert_array_equal(square[..., 0], [[8, 9], [14, 15]])


def test_crop_0_takes_the_largest_square():
    image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1)
    square = resize.crop_and_resize(image, crop=0, size=2, channels=1)
    np.testing.assert_array_equal(square[..., 0], [[2, 3], [8, 9]])


def test_crop_beyond_the_image_pads_with_black():
    image = np.full((2, 3, 1), 7, np.uint8)
    square = resize.crop_and_resize(image, crop=4, size=4, channels=1)
    expected = [[0, 0, 0, 0], [0, 7, 7, 7], [0, 7, 7, 7], [0, 0, 0, 0]]
    np.testing.assert_array_equal(square[..., 0], expected)


def test_crop_may_cut_one_side_and_pad_the_other():
    image = np.full((2, 6, 1), 7, np.uint8)
    square = resize.crop_and_resize(image, crop=4, size=4, channels=1)
    np.testing.assert_array_equal(square[:, 0, 0], [0, 7, 7, 0])


def test_resize_is_antialiased():
    # Every other column is white: without antialiasing a half-size image would be
    # all black or all white; with it each pixel is the mean but at the border.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 255
    small = resize.crop_and_resize(image, crop=0, size=32, channels=3)
    np.testing.assert_allclose(small[:, 1:-1], 127.5, rtol=0, atol=1)


def test_grey_and_colour_are_converted():
    grey = resize.crop_and_resize(PHOTO, crop=0, size=8, channels=1)
    luma = PHOTO @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey[..., 0], luma, rtol=0, atol=0.51)
    colour = resize.crop_and_resize(GREY[..., None], crop=0, size=8, channels=3)
    np.testing.assert_array_equal(colour, np.stack([GREY] * 3, axis=-1))
