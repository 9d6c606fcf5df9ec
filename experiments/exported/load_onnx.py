"""Draws images from an exported ONNX model with onnxruntime, without JAX."""

import sys

import numpy as np
import onnxruntime


def draw(path: str, *inputs: np.ndarray) -> np.ndarray:
    """Images (B, H, W, C) float32 of latents (B, Z) and perhaps labels (B,) int32."""
    session = onnxruntime.InferenceSession(path)
    names = [one.name for one in session.get_inputs()]
    (images,) = session.run(["images"], dict(zip(names, inputs, strict=True)))
    return np.asarray(images)


if __name__ == "__main__":
    model_file, latents_file, images_file = sys.argv[1:]
    np.save(images_file, draw(model_file, *np.load(latents_file).values()))
