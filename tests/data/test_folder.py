"""Folders of images: their classes, and files that cannot be used."""

import logging
import os
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from configs import default
from gan_jax import data

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture
def config(tmp_path):
    config = default.get_config().data
    config.update(
        name="folder",
        manual_dir=str(tmp_path / "images"),
        cache_dir=str(tmp_path / "cache"),
        image_size=8,
        channels=3,
        num_classes=0,
    )
    (tmp_path / "images").mkdir()
    return config


@pytest.fixture
def folder(config, tmp_path):
    return tmp_path / "images"


def save(path, array=PHOTO):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)


def test_sub_folders_are_classes_in_order_of_their_names(config, folder):
    save(folder / "cats" / "b.png", PHOTO + 1)
    save(folder / "ants" / "z.png", PHOTO)
    (folder / "cats" / "deeper").mkdir()
    save(folder / "cats" / "deeper" / "c.png", PHOTO + 2)
    (folder / "bees").mkdir()  # Without images, so no class.
    (folder / "bees" / "readme.txt").write_text("no image")
    dataset = data.create(config)
    np.testing.assert_array_equal(dataset.images, [PHOTO, PHOTO + 1, PHOTO + 2])
    np.testing.assert_array_equal(dataset.labels, [0, 1, 1])
    assert dataset.num_classes == 2


def test_images_directly_in_the_folder_are_one_class(config, folder):
    for number in range(70):  # More than are decoded at once.
        save(folder / f"{number:02d}.png", np.full((8, 8, 3), number, np.uint8))
    dataset = data.create(config)
    np.testing.assert_array_equal(dataset.images[:, 0, 0, 0], np.arange(70))
    assert not dataset.labels.any() and dataset.num_classes == 1


def test_changed_folder_is_read_again(config, folder):
    save(folder / "a.png")
    assert len(data.create(config).images) == 1
    save(folder / "b.png")
    assert len(data.create(config).images) == 2


def test_hidden_files_are_passed_over(config, folder, caplog):
    save(folder / "a.png")
    (folder / ".DS_Store").write_text("x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a.png").write_text("x")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert len(data.create(config).images) == 1
    assert "skipped 0" in caplog.text and "Skipped" not in caplog.text


def png_header(width, height):
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def save_bad_files(folder):
    """One file of each kind that is refused: file name -> expected reason."""
    large = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    for suffix in ("jpg", "png", "webp"):
        save(folder / f"cut.{suffix}", large)
        cut(folder / f"cut.{suffix}")
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    frames = [Image.fromarray(np.roll(large, n)) for n in range(3)]
    for suffix in ("gif", "png", "webp", "tiff"):
        path = folder / f"moving.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
    (folder / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (folder / "large.png").write_bytes(png_header(10_000, 9_000))
    save(folder / "float.tiff", np.ones((8, 8), np.float32))
    save(folder / "wide.tiff", np.ones((8, 8), np.int32))
    (folder / "broken_link.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    return {
        "cut.jpg": "truncated or damaged",
        "cut.png": "truncated or damaged",
        "cut.webp": "truncated or damaged",
        "empty.png": "empty (0 bytes)",
        "text.jpg": "not an image",
        "script.eps": "not an image",
        "moving.gif": "animated or of several pages (3 frames)",
        "moving.png": "animated or of several pages (3 frames)",
        "moving.webp": "animated or of several pages (3 frames)",
        "moving.tiff": "animated or of several pages (3 frames)",
        "bomb.png": "too large",
        "large.png": "too large",
        "float.tiff": "pixels without a known range (mode F)",
        "wide.tiff": "pixels without a known range (mode I)",
        "broken_link.png": "no regular file",
        "pipe.png": "no regular file",
    }


def test_a_linked_folder_is_named_and_left_out(config, folder, tmp_path, caplog):
    for place in (folder / "cats", tmp_path / "elsewhere"):
        place.mkdir()
        save(place / "x.png", PHOTO)
    (folder / "dogs").symlink_to(tmp_path / "elsewhere")
    (folder / ".hidden").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.INFO, logger="absl"):
        dataset = data.create(config)
    assert len(dataset.images) == 1 and ".hidden" not in caplog.text
    assert (
        f"Skipped folder {folder / 'dogs'}: it is a link, which is not" in caplog.text
    )


def test_bad_files_are_named_and_counted_and_the_rest_is_read(config, folder, caplog):
    save(folder / "a_good.png", PHOTO)
    reasons = save_bad_files(folder)
    save(folder / "z_good.png", PHOTO + 9)
    with caplog.at_level(logging.INFO, logger="absl"):
        dataset = data.create(config)
    np.testing.assert_array_equal(dataset.images, [PHOTO, PHOTO + 9])
    for name, reason in reasons.items():
        assert f"Skipped {folder / name}: {reason}" in caplog.text
    (summary,) = [line for line in caplog.messages if line.startswith("Read ")]
    assert "Read 2 images of 1 class" in summary and "skipped 16 (" in summary
    assert "3 truncated or damaged" in summary and "1 empty" in summary
    assert "4 animated or of several pages" in summary and "2 too large" in summary


def test_folder_without_usable_image_is_refused(config, folder):
    (folder / "empty.png").touch()
    with pytest.raises(ValueError, match=r"no usable image: skipped 1 .1 empty."):
        data.create(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"manual_dir": ""}, "manual_dir is '', which is not a folder"),
        ({"manual_dir": "/nowhere"}, "'/nowhere', which is not a folder"),
        ({"split": "test"}, "split is 'test'"),
        ({"label": "Smiling"}, "label is 'Smiling'"),
    ],
)
def test_mistake_is_answered_by_a_sentence(config, fields, message):
    config.update(fields)
    with pytest.raises(ValueError, match=message):
        data.create(config)
