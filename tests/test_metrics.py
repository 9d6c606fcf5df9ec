"""Means over calls and the line that a person reads."""

import numpy as np
import pytest

from gan_jax import metrics

NAMES = ("d_loss", "g_loss", "d_real", "d_fake_before", "d_fake_after")
NAMES += ("d_grad_norm", "g_grad_norm")


def test_average_weighs_every_step_alike():
    calls = [
        {name: np.array([1.0, 2.0, 3.0], np.float32) for name in NAMES},
        {name: np.array([10.0], np.float32) for name in NAMES},
    ]
    assert metrics.average(calls) == dict.fromkeys(NAMES, 4.0)


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3661, "1:01:01")]
)
def test_format_seconds(seconds, text):
    assert metrics.format_seconds(seconds) == text


def test_progress_line_says_how_the_run_stands():
    line = metrics.progress_line(
        500,
        10_000,
        scalars=dict.fromkeys(NAMES, 0.5) | {"d_loss": 1.2345, "d_fake_after": 0.25},
        images_per_second=1843.2,
        seconds_left=754,
    )
    assert line == (
        "step 500/10000  d_loss 1.234  g_loss 0.500  D(x) 0.50  D(G(z)) 0.50 / 0.25"
        "  1843 images/s  12:34 left"
    )
