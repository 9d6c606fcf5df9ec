"""A run's folder as training leaves it, made without training."""

import json

import numpy as np

from configs import default
from gan_jax.run import config_file, files
from gan_jax.run import images as images_lib

STEPS = (100, 200, 300)
PROTOCOL = {"extractor": "mnist", "split": "test", "versions": {"jax": "0.10.2"}}


def make_run(workdir, *, grids=3, side=20, more=0.0, **fields):
    """Writes config.json, metrics, scores and sample grids.

    Args:
      workdir: folder of the run.
      grids: number of sample grids.
      side: side of a grid in pixels.
      more: what is added to the generator's losses.
      fields: fields of the config and their values.
    """
    config = default.get_config()
    config.num_train_steps = STEPS[-1]
    config.update_from_flattened_dict(fields)
    config_file.claim(workdir, config)
    for index, step in enumerate(STEPS):
        line = {
            "d_loss": 1.5 - index / 10,
            "g_loss": 0.5 + index / 10 + more,
            "d_real": 0.6,
        }
        line |= {"d_fake_before": 0.4, "d_fake_after": 0.3, "steps_per_second": 2.0}
        line |= {"sample_distance": 0.9, "seconds": step / 2, "penalty": 0.25}
        files.append_line(workdir / "metrics.jsonl", {"step": step, **line})
        score = {"frechet_distance": {"value": 9.0 - index, "standard_error": 0.125}}
        record = {"generator": "raw", "numbers": score, "protocol": PROTOCOL}
        files.append_line(workdir / "evaluations.jsonl", {"step": step, **record})
    rng = np.random.default_rng(0)
    for index in range(grids):
        image = rng.integers(0, 2, (side, side, 3), np.uint8)
        path = workdir / "samples" / f"step_{100 * index:07}.png"
        images_lib.save_png(path, image)
    return workdir


def rewrite(path, change):
    """Applies a function to the object in a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
