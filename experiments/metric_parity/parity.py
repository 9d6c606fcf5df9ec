"""Compares the metrics of gan_jax.evaluation with the libraries that papers use.

    PEERS_PYTHON experiments/metric_parity/parity.py peers peers.json
    PYTHONPATH=. python experiments/metric_parity/parity.py compare peers.json

The first command computes what torch-fidelity, prdc, scikit-learn and scipy make of
features drawn from a seed, in an environment of their own. The second draws the same
features, checks that they are the same, computes ours and prints a Markdown table.
"""

import argparse
from collections.abc import Callable
import contextlib
import hashlib
import importlib.metadata
import io
import json
import time
from typing import NamedTuple

import numpy as np

PEERS = ("torch-fidelity", "prdc", "scikit-learn", "scipy", "torch", "numpy")
NEIGHBOURS = 5


class Case(NamedTuple):
    """Two sets of features: (N, F) and (M, F) float32."""

    real: np.ndarray
    fake: np.ndarray


def draw(seed: int, num_real: int, num_fake: int, size: int) -> Case:
    """Features like those of a net's last layer: correlated, and most of them >= 0."""
    rng = np.random.default_rng(seed)
    rank = min(size, 64)
    mixing = rng.normal(size=(rank, size)) / np.sqrt(rank)

    def features(count: int, shift: float) -> np.ndarray:
        values = rng.normal(shift, 1, (count, rank)) @ mixing
        values += 0.3 * rng.normal(size=values.shape)
        return np.where(values > 0, values, 0.1 * values).astype(np.float32)

    return Case(features(num_real, 0.0), features(num_fake, 0.1))


def cases() -> dict[str, Case]:
    """Each pair of sets, by name."""
    copied = draw(3, 1500, 1000, 64)
    copied.fake[:100] = copied.real[:100]
    return {
        "3,000 and 2,000 of 128": draw(0, 3000, 2000, 128),
        "300 and 200 of 512": draw(1, 300, 200, 512),
        "500 and 400 of 2,048": draw(2, 500, 400, 2048),
        "1,500 and 1,000 of 64, 100 fakes are copies": copied,
        "10,000 and 10,000 of 128": draw(4, 10000, 10000, 128),
    }


def logits() -> dict[str, np.ndarray]:
    """Classifier outputs (N, K) float32, by name."""
    rng = np.random.default_rng(5)
    return {
        "5,000 of 10 classes": rng.normal(0, 3, (5000, 10)).astype(np.float32),
        "5,003 of 1,000 classes": rng.normal(0, 3, (5003, 1000)).astype(np.float32),
    }


def softmax(values: np.ndarray) -> np.ndarray:
    """Probabilities of logits (N, K), in float64."""
    powers = np.exp(np.float64(values) - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def checksum(*arrays: np.ndarray) -> str:
    """SHA-256 of the bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def prepare_torchvision() -> None:
    """Lets torch-fidelity import torchvision, of which these metrics use nothing.

    PyPI's torchvision beside a CPU build of torch cannot load its operators, and stops
    where it describes the first.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            signature = "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)


def torch_fidelity_frechet(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The FID of features, and of the real ones with themselves."""
    import torch
    from torch_fidelity import metric_fid

    a, b = (
        metric_fid.fid_features_to_statistics(torch.from_numpy(np.float64(features)))
        for features in (real, fake)
    )
    key = metric_fid.KEY_METRIC_FID
    return {
        "Frechet": metric_fid.fid_statistics_to_metric(a, b, False)[key],
        "Frechet, real with itself": metric_fid.fid_statistics_to_metric(a, a, False)[
            key
        ],
    }


def scipy_frechet(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The formula with the matrix root of the product, as older codes compute it."""
    from scipy import linalg

    a, b = (np.cov(np.float64(features), rowvar=False) for features in (real, fake))
    shift = np.mean(real, axis=0, dtype=float) - np.mean(fake, axis=0, dtype=float)
    traces = np.trace(a) + np.trace(b) - 2 * np.trace(linalg.sqrtm(a @ b).real)
    return {"Frechet": float(shift @ shift + traces)}


def torch_fidelity_kernel(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The KID of features, from one subset of all and from subsets of half of them."""
    import torch
    from torch_fidelity import metric_kid

    count = min(len(real), len(fake))
    options = {"kid_subsets": 1, "kid_subset_size": count, "verbose": False}
    halves = {"kid_subsets": 100, "kid_subset_size": min(1000, count // 2)}

    def kid(dtype: type, **changes: int) -> dict[str, float]:
        features = [torch.from_numpy(x[:count].astype(dtype)) for x in (real, fake)]
        return metric_kid.kid_features_to_metric(*features, **options | changes)

    key = metric_kid.KEY_METRIC_KID_MEAN
    return {
        "kernel": kid(np.float64)[key],
        "kernel, peer in float32": kid(np.float32)[key],
        "kernel, 100 other subsets": kid(np.float64, **halves)[key],
    }


def sklearn_kernel(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Sums of its polynomial kernel, the diagonals left out."""
    from sklearn.metrics import pairwise

    count = min(len(real), len(fake))
    x, y = np.float64(real[:count]), np.float64(fake[:count])
    within = 0.0
    for features in x, y:
        kernel = pairwise.polynomial_kernel(features)
        within += kernel.sum() - np.trace(kernel)
    across = pairwise.polynomial_kernel(x, y).mean()
    return {"kernel": float(within / count / (count - 1) - 2 * across)}


def prdc_neighbours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The four numbers of the prdc package."""
    import prdc

    with contextlib.redirect_stdout(io.StringIO()):
        scores = prdc.compute_prdc(np.float64(real), np.float64(fake), NEIGHBOURS)
    return {name: float(value) for name, value in scores.items()}


def torch_fidelity_classes(values: np.ndarray) -> dict[str, float]:
    """The inception score of logits, not shuffled."""
    import torch
    from torch_fidelity import metric_isc

    scores = metric_isc.isc_features_to_metric(torch.from_numpy(values), shuffle=False)
    return {
        "classifier score": scores[metric_isc.KEY_METRIC_ISC_MEAN],
        # Ours: divided by 10 - 1, then by 10 splits, under the root.
        "its standard error": scores[metric_isc.KEY_METRIC_ISC_STD] / 3,
    }


def our_frechet(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """frechet.py."""
    from gan_jax.evaluation import frechet

    a, b = frechet.fit_gaussian(real), frechet.fit_gaussian(fake)
    return {
        "Frechet": frechet.gaussian_distance(a, b),
        "Frechet, real with itself": frechet.gaussian_distance(a, a),
    }


def our_kernel(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """kernel.py."""
    from gan_jax.evaluation import kernel

    count = min(len(real), len(fake))
    real, fake = real[:count], fake[:count]
    whole = kernel.kernel_distance(real, fake, subset_size=count, num_subsets=1)
    halves = kernel.kernel_distance(real, fake, subset_size=min(1000, count // 2))
    return {
        "kernel": whole.value,
        "kernel, peer in float32": whole.value,
        "kernel, 100 other subsets": halves.value,
    }


def our_neighbours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """prdc.py."""
    from gan_jax.evaluation import prdc

    return prdc.prdc(real, fake, neighbours=NEIGHBOURS)._asdict()


def our_classes(values: np.ndarray) -> dict[str, float]:
    """classes.py."""
    from gan_jax.evaluation import classes

    score = classes.classifier_score(softmax(values))
    assert score.standard_error is not None
    return {"classifier score": score.value, "its standard error": score.standard_error}


# Ours, and the peers of each by name.
FEATURE_METRICS = [
    (our_frechet, {"torch-fidelity": torch_fidelity_frechet, "scipy": scipy_frechet}),
    (
        our_kernel,
        {"torch-fidelity": torch_fidelity_kernel, "scikit-learn": sklearn_kernel},
    ),
    (our_neighbours, {"prdc": prdc_neighbours}),
]
CLASS_METRICS = [(our_classes, {"torch-fidelity": torch_fidelity_classes})]


def tasks() -> list[tuple[str, tuple[np.ndarray, ...], Callable, dict]]:
    """Each case with each metric: name, arrays, ours, peers."""
    return [
        (name, tuple(case), ours, peers)
        for name, case in cases().items()
        for ours, peers in FEATURE_METRICS
    ] + [
        (name, (values,), ours, peers)
        for name, values in logits().items()
        for ours, peers in CLASS_METRICS
    ]


def compute_peers(path: str) -> None:
    """Writes what the libraries make of each case."""
    prepare_torchvision()
    results = []
    for name, arrays, _, peers in tasks():
        for peer, function in peers.items():
            values = function(*arrays)
            results.append([name, checksum(*arrays), peer, values])
            print(name, peer, values, flush=True)
    versions = {name: importlib.metadata.version(name) for name in PEERS}
    with open(path, "w") as file:
        json.dump({"versions": versions, "results": results}, file, indent=1)


def compare(path: str) -> None:
    """Prints a row for each number of the libraries, with ours beside it.

    Differences are relative; absolute where the library's number is below 0.001.
    """
    with open(path) as file:
        written = json.load(file)
    print(
        ", ".join(f"{name} {version}" for name, version in written["versions"].items())
    )
    print("\n| samples | metric | peer | its value | ours | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    remaining = iter(written["results"])
    for name, arrays, ours, peers in tasks():
        values = ours(*arrays)
        for peer in peers:
            *found, peer_values = next(remaining)
            assert found == [name, checksum(*arrays), peer], "other features were drawn"
            for metric, value in peer_values.items():
                difference = abs(values[metric] - value)
                if abs(value) > 1e-3:
                    difference /= abs(value)
                print(
                    f"| {name} | {metric} | {peer} | {value:.8g} | "
                    f"{values[metric]:.8g} | {difference:.1e} |",
                    flush=True,
                )


def print_seconds() -> None:
    """Prints seconds of each of our metrics with its defaults, on the largest case."""
    from gan_jax.evaluation import classes, frechet, kernel, prdc

    real, fake = cases()["10,000 and 10,000 of 128"]
    probabilities = softmax(np.repeat(logits()["5,000 of 10 classes"], 2, axis=0))
    for function, arrays in (
        (frechet.frechet_distance, (real, fake)),
        (kernel.kernel_distance, (real, fake)),
        (prdc.prdc, (real, fake)),
        (classes.classifier_score, (probabilities,)),
    ):
        start, cpu_start = time.perf_counter(), time.process_time()
        function(*arrays)
        seconds = time.perf_counter() - start
        cpu_seconds = time.process_time() - cpu_start
        print(f"{function.__name__}: {seconds:.2f} s, {cpu_seconds:.2f} s of CPU time")


def main() -> None:
    """One of the stages."""
    parser = argparse.ArgumentParser(description="Compares metrics with libraries.")
    parser.add_argument("stage", choices=("peers", "compare"))
    parser.add_argument("path", help="JSON file of the libraries' values")
    arguments = parser.parse_args()
    if arguments.stage == "peers":
        compute_peers(arguments.path)
    else:
        compare(arguments.path)
        print_seconds()


if __name__ == "__main__":
    main()
