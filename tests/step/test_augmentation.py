"""Augmentations: ranges, slow references, draws by index, and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.step import augmentation

KEY = jax.random.key(2)
SIDE, MANY = 16, 400
ALL = tuple(augmentation.AUGMENTATIONS)


def images(count=MANY, channels=3):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, SIDE, SIDE, channels)).astype(np.float32)


def many(function, pictures):
    """One transformation of many images, each with a key of its own."""
    keys = jax.random.split(KEY, len(pictures))
    return np.asarray(jax.vmap(function)(keys, pictures))


@functools.cache
def augmented(names, channels=3, count=MANY, first=0):
    part = images(channels=channels)[first : first + count]
    indices = jnp.arange(first, first + count)
    return np.asarray(augmentation.augment(KEY, indices, part, names=names))


def test_brightness_adds_one_number_to_an_image():
    added = many(augmentation.change_brightness, images()) - images()
    number = added[:, :1, :1, :1]
    np.testing.assert_allclose(added, np.broadcast_to(number, added.shape), atol=1e-6)
    assert number.min() >= -0.5 and number.max() < 0.5
    # Uniform: variance 1 / 12.
    np.testing.assert_allclose(np.var(number), 1 / 12, rtol=0.15, atol=0)


def ratios(changed, original, axis):
    """By how much the distances from the mean over some axes were scaled."""
    distances = [x - x.mean(axis, keepdims=True) for x in (changed, original)]
    return (distances[0] * distances[1]).sum((1, 2, 3)) / (distances[1] ** 2).sum(
        (1, 2, 3)
    )


@pytest.mark.parametrize(
    "function, axis, least, most",
    [
        (augmentation.change_saturation, -1, 0.0, 2.0),
        (augmentation.change_contrast, (1, 2, 3), 0.5, 1.5),
    ],
)
def test_distances_from_the_mean_are_scaled(function, axis, least, most):
    changed, original = many(function, images()), images()
    factors = ratios(changed, original, axis)
    mean = original.mean(axis, keepdims=True)
    expected = mean + (original - mean) * factors[:, None, None, None]
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-5)
    assert factors.min() >= least - 1e-5 and factors.max() <= most + 1e-5
    spread = (most - least) ** 2 / 12
    np.testing.assert_allclose(np.var(factors), spread, rtol=0.15, atol=0)


def test_saturation_leaves_grey_images_alone():
    grey = images(8, channels=1)
    np.testing.assert_array_equal(many(augmentation.change_saturation, grey), grey)


def shift(image, down, right):
    """The image shifted pixel by pixel; what comes in is 0."""
    result = np.zeros_like(image)
    for i in range(SIDE):
        for j in range(SIDE):
            if 0 <= i - down < SIDE and 0 <= j - right < SIDE:
                result[i, j] = image[i - down, j - right]
    return result


def test_translation_shifts_by_up_to_an_eighth_of_the_side():
    original = images(200)
    shifts = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]  # 16 / 8 = 2
    found = []
    for before, after in zip(
        original, many(augmentation.translate, original), strict=True
    ):
        (one,) = [s for s in shifts if np.array_equal(shift(before, *s), after)]
        found.append(one)
    assert set(found) == set(shifts)  # each is missed with probability 3e-4


def test_cutout_makes_a_square_of_half_the_side_grey():
    changed = many(augmentation.cut_out, images()) == 0
    np.testing.assert_array_equal(changed[..., :1].repeat(3, -1), changed)
    rows, columns = changed[..., 0].any(2), changed[..., 0].any(1)
    np.testing.assert_array_equal(
        changed[..., 0], rows[:, :, None] & columns[:, None, :]
    )
    for lines in (rows, columns):
        edges = np.diff(lines.astype(int), axis=1)
        assert (np.abs(edges).sum(1) <= 2).all()  # one piece
        # The centre is uniform over 0 to 16: 8 lines, or down to 4 at an edge.
        lengths = lines.sum(1)
        assert set(lengths) == {4, 5, 6, 7, 8}
        np.testing.assert_allclose(np.mean(lengths == 8), 9 / 17, rtol=0, atol=0.1)


@pytest.mark.parametrize("names", [("color",), ("translation",), ("cutout",), ALL])
def test_what_is_drawn_for_an_image_depends_on_its_index_alone(names):
    part = augmented(names, count=5, first=7)
    np.testing.assert_allclose(part, augmented(names)[7:12], rtol=0, atol=1e-6)
    again = augmentation.augment(KEY, jnp.zeros(9, int), images(9) * 0 + 0.5, names=ALL)
    np.testing.assert_array_equal(again, again[:1].repeat(9, 0))


def test_all_together_are_done_in_the_order_of_their_names():
    # What a translation brings in stays 0 unless brightness comes after it.
    names = ("translation", "color")
    flat = np.full((MANY, SIDE, SIDE, 1), 0.9, np.float32)
    after, before = (
        np.asarray(augmentation.augment(KEY, jnp.arange(MANY), flat, names=one))
        for one in (names, names[::-1])
    )
    assert np.any(before == 0) and not np.any(after == 0)


def test_gradients_go_through_all_augmentations():
    weights = jnp.asarray(images(4))

    def total(pictures):
        seen = augmentation.augment(KEY, jnp.arange(4), pictures, names=ALL)
        return jnp.sum(seen * weights)

    point = jnp.asarray(images(4)[::-1])
    gradient = np.asarray(jax.grad(total)(point))
    # The transformations are linear in the image, so a difference is exact.
    bump = np.random.default_rng(1).normal(size=point.shape).astype(np.float32)
    difference = total(point + bump) - total(point)
    np.testing.assert_allclose(np.sum(gradient * bump), difference, rtol=1e-3, atol=0)
    assert np.mean(gradient != 0) > 0.5


@pytest.mark.parametrize(
    "text, names", [("", ()), ("cutout", ("cutout",)), ("color,cutout", ALL[::2])]
)
def test_names_are_parsed(text, names):
    assert augmentation.parse(text) == names
