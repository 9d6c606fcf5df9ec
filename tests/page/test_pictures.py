"""Which sample grids a page has, and how large they are."""

import base64
import io
import logging

import numpy as np
from PIL import Image
import pytest

from gan_jax.page import history, pictures
from tests.page import support


def decode(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))


@pytest.mark.parametrize(
    "count, most, expected",
    [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (10, 2, [0, 9]), (4, 1, [3])],
)
def test_steps_are_evenly_spaced_with_both_ends(count, most, expected):
    assert pictures.spaced(range(count), most) == expected


def test_small_grids_are_embedded_as_they_are(tmp_path):
    run = history.read(support.make_run(tmp_path), "run")
    ((first, *others),) = pictures.embed([run], 30)
    assert [first.step, *(one.step for one in others)] == [0, 100, 200]
    path = tmp_path / "samples" / "step_0000000.png"
    assert first.is_exact and first.source.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(decode(first), Image.open(path))


def test_large_grids_are_compressed_and_made_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "SMALL", 1_000)
    monkeypatch.setattr(pictures, "SIDE", 64)
    workdir = support.make_run(tmp_path, grids=1, side=100)
    ((one,),) = pictures.embed([history.read(workdir, "run")], 30)
    assert not one.is_exact and one.source.startswith("data:image/webp;base64,")
    assert one.size == (100, 100) and decode(one).size == (64, 64)


def test_all_pictures_fit_the_bound(tmp_path, monkeypatch):
    run = history.read(support.make_run(tmp_path, grids=9), "run")
    (all_of_them,) = pictures.embed([run], 30)
    total = sum(len(one.source) for one in all_of_them)
    monkeypatch.setattr(pictures, "MOST_BYTES", total // 2)
    (found,) = pictures.embed([run], 8)
    assert [one.step for one in found] == [0, 200, 500, 800]


def test_what_is_no_picture_is_left_out_with_a_warning(tmp_path, caplog):
    workdir = support.make_run(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(b"secret")
    link = workdir / "samples" / "step_0000000.png"
    link.unlink()
    link.symlink_to(tmp_path / "secret.png")
    (workdir / "samples" / "step_0000100.png").write_bytes(b"<svg onload=alert(1)>")
    with caplog.at_level(logging.WARNING):
        (found,) = pictures.embed([history.read(workdir, "run")], 30)
    assert [one.step for one in found] == [200]
    assert "it is a link, which is not followed" in caplog.text
    assert "step_0000100.png is left out" in caplog.text
