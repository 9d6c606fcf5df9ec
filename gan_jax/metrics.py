"""The numbers of a training run: one name each, and how a person reads them."""

from collections.abc import Mapping, Sequence

from clu import metrics as clu_metrics
import numpy as np


def average(calls: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Means over the steps of several calls, each a dict of (T,) arrays.

    The names are those that train_step.py gives.
    """
    joined = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
    collection = clu_metrics.Collection.create(
        **{name: clu_metrics.Average.from_output(name) for name in joined}
    )
    means = collection.single_from_model_output(**joined).compute()
    return {name: float(value) for name, value in means.items()}


def add(
    totals: Mapping[str, float], call: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The sums over steps, with those of one more call's (T,) arrays.

    They are added in double precision and in the order of the calls, so that a run that
    is cut and goes on from the sums so far gets the same.
    """
    return {
        name: totals.get(name, 0.0) + float(np.sum(values, dtype=np.float64))
        for name, values in call.items()
    }


def format_seconds(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_line(
    step: int,
    num_steps: int,
    *,
    scalars: Mapping[str, float],
    images_per_second: float,
    seconds_left: float,
) -> str:
    """One line of at most 100 characters that says how the run stands."""
    return (
        f"step {step}/{num_steps}"
        f"  d_loss {scalars['d_loss']:.3f}  g_loss {scalars['g_loss']:.3f}"
        f"  D(x) {scalars['d_real']:.2f}"
        f"  D(G(z)) {scalars['d_fake_before']:.2f} / {scalars['d_fake_after']:.2f}"
        f"  {images_per_second:.0f} images/s  {format_seconds(seconds_left)} left"
    )
