"""Directions of the latents along which a run's images change most."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.run import trained
from gan_jax.step import sampling

POINTS = 8  # latents at which the change is measured
STEP = 0.05  # of the central differences, in units of a coordinate


def principal(
    run: trained.Run, num: int, *, seed: int = 0, label: int = 0
) -> np.ndarray:
    """Directions (num, Z) float32 of length 1 that are orthogonal to each other.

    They are the first eigenvectors of the mean of J^T J over eight latents, where J is
    the Jacobian of the image in the latents: the first direction is the one along which
    images change most. Wang and Ponce 2021 (arXiv 2101.06006) measure the change by a
    perceptual distance; here it is the squared distance of the pixels, and J is found
    by central differences.

    The sign of a direction is such that its largest coordinate is positive.

    Args:
      run: trained run.
      num: number of directions, at most the size of the latents.
      seed: seed of the latents.
      label: class of the images of a conditional run.

    Raises:
      ValueError: there are not so many directions.
    """
    latents = run.draw_latents(POINTS, seed=seed)
    size = latents.shape[1]
    if not 1 <= num <= size:
        raise ValueError(
            f"{num} directions were asked for, but latents of {size} coordinates have "
            f"1 to {size}: ask for fewer."
        )
    steps = STEP * np.eye(size, dtype=np.float32)
    labels = jnp.full(size, label, jnp.int32)
    total = np.zeros((size, size))
    for latent in latents:
        with jax.default_matmul_precision("highest"):  # small differences need it
            ahead, behind = (
                np.asarray(
                    sampling.generate_images(
                        run.generator, run.variables, jnp.asarray(latent + step), labels
                    )
                )
                for step in (steps, -steps)
            )
        rows = (ahead - behind).reshape(size, -1).astype(np.float64)
        total += rows @ rows.T
    _, vectors = np.linalg.eigh(total)
    found = vectors.T[::-1][:num]
    largest = np.argmax(np.abs(found), axis=1, keepdims=True)
    signs = np.sign(np.take_along_axis(found, largest, axis=1))
    return (signs * found).astype(np.float32)
