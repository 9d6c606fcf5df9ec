"""Inception-v3: resize, pools, shapes, weights files; parity is an experiment.

experiments/inception_parity compares the whole net with torch-fidelity's.
"""

import hashlib
import pickle
import struct
import tracemalloc
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.faults.hostile import array_files, weight_files
from gan_jax.evaluation import inception, inception_weights

# The first, the last, and some rows and columns of the resized image.
SOME = [0, 1, 2, 148, *range(3, 299, 13), 296, 297, 298]


def resize(image, target):
    """TensorFlow 1's bilinear resize, pixel by pixel, of (H, W, C), at SOME places."""
    height, width, channels = image.shape
    result = np.empty((len(SOME), len(SOME), channels))
    for row, column in np.ndindex(len(SOME), len(SOME)):
        y = float(np.float32(SOME[row]) * np.float32(height / target))
        x = float(np.float32(SOME[column]) * np.float32(width / target))
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
        above = image[y0, x0] * (1 - (x - x0)) + image[y0, x1] * (x - x0)
        below = image[y1, x0] * (1 - (x - x0)) + image[y1, x1] * (x - x0)
        result[row, column] = above * (1 - (y - y0)) + below * (y - y0)
    return result


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 20, 3), (310, 7, 3)])
def test_preprocess_resizes_as_tensorflow_1_pixel_by_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = (resize(np.float64(image), 299) - 128) / 128
    expected = np.broadcast_to(expected, (len(SOME), len(SOME), 3))
    (result,) = inception.preprocess(image[None])
    assert (result.shape, result.dtype) == ((299, 299, 3), jnp.float32)
    # Values up to 255 are rounded to 2^-17 three times, then divided by 128.
    result = np.asarray(result)[np.ix_(SOME, SOME)]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_preprocess_keeps_the_pixels_of_images_of_the_nets_size():
    images = np.random.default_rng(1).integers(0, 256, (2, 299, 299, 3), np.uint8)
    expected = (np.float32(images) - 128) / 128
    np.testing.assert_array_equal(inception.preprocess(images), expected)


def test_interpolation_from_two_to_four_pixels_repeats_the_last():
    # Places 0, 1/2, 1, 3/2: the last lies between pixel 1 and pixel 1.
    expected = [[1, 0], [0.5, 0.5], [0, 1], [0, 1]]
    np.testing.assert_array_equal(inception.interpolation(2, 4), expected)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
)
def test_images_of_another_form_are_refused(images):
    with pytest.raises(ValueError, match=r"must be \(N, H, W, 3\)"):
        inception.preprocess(images)


def windows(x):
    """The pixels inside the image of the 3x3 window at each pixel of (H, W, C)."""
    for i, j in np.ndindex(x.shape[:2]):
        yield (i, j), x[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]


def test_average_pool_counts_only_pixels_inside_the_image():
    x = np.random.default_rng(2).normal(size=(1, 4, 5, 2)).astype(np.float32)
    result = inception.average_pool(x)
    for place, window in windows(x[0]):
        np.testing.assert_allclose(
            result[0][place], window.mean(axis=(0, 1)), rtol=1e-5, atol=1e-6
        )


def test_max_pool_does_not_see_the_padding():
    x = -1 - np.random.default_rng(3).uniform(size=(1, 4, 5, 2)).astype(np.float32)
    result = inception.max_pool(x)
    for place, window in windows(x[0]):
        np.testing.assert_array_equal(result[0][place], window.max(axis=(0, 1)))


def test_conv_unit_normalises_by_the_stored_statistics_and_clips():
    # One pixel, a 1x1 kernel: 3 * 2 = 6; (6 - 4) / sqrt(0.249 + 0.001) = 4;
    # 4 * [1, -1] + 0.5 = [4.5, -3.5], of which ReLU leaves [4.5, 0].
    variables = {
        "params": {
            "conv": {"kernel": np.full((1, 1, 1, 2), 2, np.float32)},
            "bn": {"scale": np.float32([1, -1]), "bias": np.float32([0.5, 0.5])},
        },
        "batch_stats": {
            "bn": {"mean": np.float32([4, 4]), "var": np.float32([0.249, 0.249])}
        },
    }
    x = np.full((1, 1, 1, 1), 3, np.float32)
    result = inception.ConvUnit(2).apply(variables, x)
    np.testing.assert_allclose(result.ravel(), [4.5, 0], rtol=1e-5, atol=0)


@pytest.fixture(scope="module")
def shapes():
    """Shapes of the variables, without running the net."""
    images = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    return jax.eval_shape(inception.InceptionV3().init, jax.random.key(0), images)


def test_features_and_logits_have_the_published_sizes(shapes):
    images = jax.ShapeDtypeStruct((2, 299, 299, 3), jnp.float32)
    features, logits = jax.eval_shape(inception.InceptionV3().apply, shapes, images)
    assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
    assert features.dtype == logits.dtype == jnp.float32


@pytest.mark.parametrize("batch_size", [1, 2, 5, 50])
def test_predict_gives_a_row_to_each_image_whatever_the_batch(monkeypatch, batch_size):
    def first_pixels(variables, images):
        assert variables == {}
        return images[:, 0, 0, :1], images[:, 0, 0, :2]

    monkeypatch.setattr(inception, "_predict_batch", first_pixels)
    images = np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)
    weights = inception_weights.Weights({}, "", False)
    features, probabilities = inception.predict(weights, images, batch_size=batch_size)
    np.testing.assert_array_equal(features, images[:, 0, 0, :1])
    np.testing.assert_array_equal(probabilities, images[:, 0, 0, :2])


def test_predict_batch_gives_features_and_a_distribution_over_classes(shapes):
    images = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.uint8)
    features, probabilities = jax.eval_shape(inception._predict_batch, shapes, images)
    assert (features.shape, probabilities.shape) == ((2, 2048), (2, 1008))
    assert features.dtype == probabilities.dtype == jnp.float32


# Outputs, window area and inputs of the convolutions, from torch-fidelity's listing.
STEM = [(32, 9, 3), (32, 9, 32), (64, 9, 32), (80, 1, 64), (192, 9, 80)]


def block_a(n, pool):
    dbl = [(64, 1, n), (96, 9, 64), (96, 9, 96)]
    return [(64, 1, n), (48, 1, n), (64, 25, 48), *dbl, (pool, 1, n)]


def block_b(n):
    return [(384, 9, n), (64, 1, n), (96, 9, 64), (96, 9, 96)]


def block_c(c):
    once = [(c, 1, 768), (c, 7, c), (192, 7, c)]
    return [*once, *once[:1], *[(c, 7, c)] * 3, (192, 7, c), *[(192, 1, 768)] * 2]


def block_d(n):
    seven = [(192, 1, n), (192, 7, 192), (192, 7, 192), (192, 9, 192)]
    return [(192, 1, n), (320, 9, 192), *seven]


def block_e(n):
    halves = [(384, 3, 384)] * 4
    return [(320, 1, n), (384, 1, n), (448, 1, n), (384, 9, 448), *halves, (192, 1, n)]


BLOCKS = {
    "Mixed_5b": block_a(192, 32),
    "Mixed_5c": block_a(256, 64),
    "Mixed_5d": block_a(288, 64),
    "Mixed_6a": block_b(288),
    "Mixed_6b": block_c(128),
    "Mixed_6c": block_c(160),
    "Mixed_6d": block_c(160),
    "Mixed_6e": block_c(192),
    "Mixed_7a": block_d(768),
    "Mixed_7b": block_e(1280),
    "Mixed_7c": block_e(2048),
}


def test_parameters_are_as_many_as_in_the_published_net(shapes):
    # torch-fidelity's net has 23,850,960: 1,008 are the bias of fc, left out here.
    layers = [*STEM, *(layer for block in BLOCKS.values() for layer in block)]
    weights = sum(o * area * i + 2 * o for o, area, i in layers)
    assert len(layers) == 94
    assert weights + 2048 * 1008 == 23_850_960 - 1008
    leaves = jax.tree.leaves(shapes["params"])
    assert sum(leaf.size for leaf in leaves) == weights + 2048 * 1008
    for name, block in BLOCKS.items():
        found = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"][name]))
        assert found == sum(o * area * i + 2 * o for o, area, i in block), name


# A net of one unit and a classifier, and a state dict of it under PyTorch's names.
SMALL = {
    "params": {
        "unit": {
            "conv": {"kernel": (3, 1, 2, 4)},
            "bn": {"scale": (4,), "bias": (4,)},
        },
        "fc": {"kernel": (4, 5)},
    },
    "batch_stats": {"unit": {"bn": {"mean": (4,), "var": (4,)}}},
}
SMALL = jax.tree.map(
    lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
    SMALL,
    is_leaf=lambda node: isinstance(node, tuple),
)


def state_dict():
    rng = np.random.default_rng(4)
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {
        "unit.conv.weight": rng.normal(size=(4, 2, 3, 1)).astype(np.float32),
        **{
            f"unit.bn.{name}": rng.normal(size=4).astype(np.float32) for name in vectors
        },
        "unit.bn.num_batches_tracked": np.array(7),
        "fc.weight": rng.normal(size=(5, 4)).astype(np.float32),
        "fc.bias": rng.normal(size=5).astype(np.float32),
    }


def text(value):
    return b"V" + value.encode() + b"\n"


def integers(values):
    return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"


def pickled(arrays):
    """What PyTorch pickles for a state dict, and the storages: one for each array.

    Each array lies behind an unused element in its storage, in column-major order.
    """
    storages, items = {}, b""
    for key, (name, array) in enumerate(arrays.items()):
        kind = {"f": b"FloatStorage", "i": b"LongStorage"}[array.dtype.kind]
        storages[str(key)] = np.concatenate([[9], array.ravel("F")]).astype(array.dtype)
        strides = [s // array.itemsize for s in np.array(array, order="F").strides]
        items += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        items += text("storage") + b"ctorch\n" + kind + b"\n" + text(str(key))
        items += text("cpu") + b"I%d\ntQI1\n" % (array.size + 1)
        items += integers(array.shape) + integers(strides)
        items += b"I00\nccollections\nOrderedDict\n)RtR"
    ordered = b"ccollections\nOrderedDict\n)R(" + items + b"u"
    return ordered + b"(V_metadata\n}db.", storages


def write_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def write_zip(path, arrays):
    tensors, storages = pickled(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensors)
        archive.writestr("archive/version", "3")
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.tobytes())


def write_stream(path, arrays):
    tensors, storages = pickled(arrays)
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(part, protocol=2) for part in head]
    parts += [tensors, pickle.dumps(list(storages), protocol=2)]
    for storage in storages.values():
        parts += [struct.pack("<q", storage.size), storage.tobytes()]
    path.write_bytes(b"".join(parts))


WRITERS = [write_npz, write_zip, write_stream]


@pytest.mark.parametrize("write", WRITERS)
def test_weights_files_of_each_format_are_read_in_the_layout_of_flax(tmp_path, write):
    arrays = state_dict()
    write(tmp_path / "weights", arrays)
    weights = inception_weights.read(tmp_path / "weights", SMALL)
    params, stats = weights.variables["params"], weights.variables["batch_stats"]
    kernel = params["unit"]["conv"]["kernel"]
    assert kernel.shape == (3, 1, 2, 4)
    for o, i, y, x in np.ndindex(4, 2, 3, 1):
        assert kernel[y, x, i, o] == arrays["unit.conv.weight"][o, i, y, x]
    found = {
        "weight": params["unit"]["bn"]["scale"],
        "bias": params["unit"]["bn"]["bias"],
        "running_mean": stats["unit"]["bn"]["mean"],
        "running_var": stats["unit"]["bn"]["var"],
    }
    for name, values in found.items():
        np.testing.assert_array_equal(values, arrays[f"unit.bn.{name}"])
    np.testing.assert_array_equal(params["fc"]["kernel"], arrays["fc.weight"].T)
    assert jax.tree.structure(weights.variables) == jax.tree.structure(SMALL)


def test_weights_tell_their_hash_and_that_they_are_not_the_published(tmp_path):
    write_npz(tmp_path / "weights", state_dict())
    weights = inception_weights.read(tmp_path / "weights", SMALL)
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()
    assert weights.sha256 == digest
    assert not weights.is_published


def test_weights_whose_hash_begins_as_the_published_are_the_published(
    tmp_path, monkeypatch
):
    write_npz(tmp_path / "weights", state_dict())
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()
    monkeypatch.setattr(inception_weights, "PUBLISHED_SHA256", digest[:8])
    assert inception_weights.read(tmp_path / "weights", SMALL).is_published


@pytest.mark.parametrize("write", WRITERS)
def test_first_missing_entry_is_named(tmp_path, write):
    arrays = state_dict()
    del arrays["unit.bn.running_mean"], arrays["unit.conv.weight"]
    write(tmp_path / "weights", arrays)
    message = r"'unit.bn.running_mean' is missing, but .* of shape \(4,\)"
    with pytest.raises(ValueError, match=message):
        inception_weights.read(tmp_path / "weights", SMALL)


def test_entry_of_the_wrong_shape_is_named_with_both_shapes(tmp_path):
    arrays = {**state_dict(), "fc.weight": np.zeros((6, 4), np.float32)}
    write_npz(tmp_path / "weights", arrays)
    message = r"'fc.weight' is of shape \(6, 4\), but .* of shape \(5, 4\)"
    with pytest.raises(ValueError, match=message):
        inception_weights.read(tmp_path / "weights", SMALL)


def test_unknown_entry_is_named(tmp_path):
    arrays = {**state_dict(), "AuxLogits.fc.bias": np.zeros(3, np.float32)}
    write_npz(tmp_path / "weights", arrays)
    with pytest.raises(ValueError, match=r"'AuxLogits.fc.bias' .* none of that name"):
        inception_weights.read(tmp_path / "weights", SMALL)


def test_load_weights_expects_the_entries_of_the_published_net(tmp_path):
    write_npz(tmp_path / "weights", state_dict())
    message = r"'Conv2d_1a_3x3.bn.bias' is missing, but .* of shape \(32,\)"
    with pytest.raises(ValueError, match=message):
        inception.load_weights(tmp_path / "weights")


def test_pickle_that_would_run_code_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "weights", "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(Vfalse\ntR.")
    with pytest.raises(ValueError, match="asks for os.system, but .* torch.save"):
        inception_weights.read_entries(tmp_path / "weights")


def test_pickle_of_something_else_than_tensors_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "weights", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 3}))
    with pytest.raises(ValueError, match="something else than named tensors"):
        inception_weights.read_entries(tmp_path / "weights")


def test_zip_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "weights", "w") as archive:
        archive.writestr("read.me", "hello")
    with pytest.raises(ValueError, match="zip archive of something else"):
        inception_weights.read_entries(tmp_path / "weights")


def test_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "weights").write_bytes(b"hello")
    with pytest.raises(ValueError, match="no file of PyTorch, or not whole"):
        inception_weights.read_entries(tmp_path / "weights")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="absent: it cannot be read .*No such file"):
        inception_weights.read_entries(tmp_path / "absent")


@pytest.mark.parametrize("write", WRITERS)
def test_file_that_ends_early_is_refused(tmp_path, write):
    write(tmp_path / "weights", state_dict())
    whole = (tmp_path / "weights").read_bytes()
    (tmp_path / "weights").write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=r"it cannot be read \(storage|not whole"):
        inception_weights.read_entries(tmp_path / "weights")


def write_pickle(path, tensors):
    path.write_bytes(array_files.zipped({"a/data.pkl": tensors, "a/data/0": bytes(80)}))


@pytest.mark.parametrize(
    "tensors",
    [
        b"]r\xff\xff\xff\x7f.",  # a number for which C makes room
        b"\x96" + bytes(6) + b"\x7f\0.",  # an array of so many bytes
        b"ctorch\nFloatStorage\n}b.",  # sets attributes of a type of NumPy
        b"ccollections\nOrderedDict\n(}tR.",  # copies a dict, again and again
        weight_files.state_dict({"a": (2**70,)}),
        weight_files.state_dict({"a": (-1,)}),
    ],
)
def test_a_hostile_pickle_is_refused_at_once(tensors, tmp_path):
    write_pickle(tmp_path / "weights", tensors)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="weights: (it cannot be read|its pickle)"):
            inception_weights.read_entries(tmp_path / "weights")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_packed_storage_is_refused(tmp_path):
    tensors = weight_files.state_dict({"a": (20,)})
    storage = array_files.zeros(2**31), 8, 2**31, 0
    whole = {"a/data.pkl": (tensors, 0, len(tensors), 0), "a/data/0": storage}
    (tmp_path / "weights").write_bytes(array_files.archive(whole))
    with pytest.raises(ValueError, match="its arrays are packed, 'a/data/0' for one"):
        inception_weights.read_entries(tmp_path / "weights")


def test_an_array_of_texts_is_refused(tmp_path):
    write_npz(tmp_path / "weights", {**state_dict(), "fc.weight": np.full((5, 4), "x")})
    with pytest.raises(ValueError, match="its array 'fc.weight' is <U1, no number"):
        inception_weights.read(tmp_path / "weights", SMALL)
