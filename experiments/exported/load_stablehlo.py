"""Draws images from an exported program with JAX and flatbuffers, without gan_jax."""

import sys

from jax import export
import numpy as np


def draw(path: str, *inputs: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) float32 of latents (B, Z) and perhaps labels (B,) int32."""
    with open(path, "rb") as file:
        program = export.deserialize(bytearray(file.read()))
    return np.asarray(program.call(*inputs))


if __name__ == "__main__":
    program_file, latents_file, images_file = sys.argv[1:]
    np.save(images_file, draw(program_file, *np.load(latents_file).values()))
