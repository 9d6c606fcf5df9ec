"""Random transformations of the images that the discriminator sees.

Zhao et al. 2020, DiffAugment (arXiv 2006.10738), section 3.2: real and generated images
are transformed in both updates, and the generator's gradient goes through the
transformation. The ranges are those of the authors' code
(github.com/mit-han-lab/data-efficient-gans), but pixels are rounded down here and to
the nearest there: images of 28 pixels are shifted by at most 3 here and by 4 there. As
there, what a translation brings in and a cutout leaves is 0, the grey between black and
white.
"""

from collections.abc import Callable, Sequence

import jax
from jax import lax
import jax.numpy as jnp

from gan_jax import checks
from gan_jax.step import sampling

Transformation = Callable[[jax.Array, jax.Array], jax.Array]


def change_brightness(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image (H, W, C) plus one number in [-0.5, 0.5)."""
    return image + jax.random.uniform(key, minval=-0.5, maxval=0.5)


def change_saturation(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image with each pixel's distance from its grey times a factor in [0, 2).

    The grey is the mean of the channels, so a grey image stays as it is.
    """
    grey = jnp.mean(image, axis=-1, keepdims=True)
    return grey + (image - grey) * jax.random.uniform(key, maxval=2.0)


def change_contrast(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image with its distance from its mean times a factor in [0.5, 1.5)."""
    mean = jnp.mean(image)
    return mean + (image - mean) * jax.random.uniform(key, minval=0.5, maxval=1.5)


def translate(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image shifted along both axes by at most an eighth of the side, in pixels."""
    reach = image.shape[0] // 8
    padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    start = jax.random.randint(key, (2,), 0, 2 * reach + 1)
    return lax.dynamic_slice(padded, (start[0], start[1], 0), image.shape)


def cut_out(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image with a grey square of half its side, which may reach over the edge."""
    side = image.shape[0]
    width = side // 2
    centres = jax.random.randint(key, (2, 1), 0, side + 1 - width % 2)
    distance = jnp.arange(side)[None] - (centres - width // 2)
    rows, columns = (distance >= 0) & (distance < width)
    return jnp.where(rows[:, None, None] & columns[None, :, None], 0.0, image)


AUGMENTATIONS: dict[str, tuple[Transformation, ...]] = {
    "color": (change_brightness, change_saturation, change_contrast),
    "translation": (translate,),
    "cutout": (cut_out,),
}


def parse(text: str) -> tuple[str, ...]:
    """The names in a text such as "color,cutout"; none in an empty text."""
    return tuple(text.split(",")) if text else ()


def _holds(text: str) -> bool:
    names = parse(text)
    return set(names) <= AUGMENTATIONS.keys() and len(set(names)) == len(names)


_WORDS = f"some of {', '.join(AUGMENTATIONS)}, each once, with commas between them"
NAMES = checks.Range(f"{_WORDS}, or empty for none", _holds, (str,), "text")


def augment(
    key: jax.Array, indices: jax.Array, images: jax.Array, *, names: Sequence[str]
) -> jax.Array:
    """The images, transformed by all named augmentations in their order.

    Each image has draws of its own, which depend on its index alone.

    Args:
      key: PRNG key, the same on all replicas.
      indices: (B,) int32 batch indices in the global batch.
      images: (B, H, W, C) float32 in [-1, 1]; changed colours may leave that range.
      names: names in AUGMENTATIONS.
    """
    functions = [one for name in names for one in AUGMENTATIONS[name]]

    def transform(key: jax.Array, image: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(functions))
        for number, function in enumerate(functions):
            image = function(keys[number], image)
        return image

    return jax.vmap(transform)(sampling.fold_in_each(key, indices), images)
