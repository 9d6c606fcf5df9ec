"""Inception-v3, FID, KID and Inception score beside torch-fidelity's, on made weights.

    TORCH_PYTHON experiments/inception_parity/parity.py torch FOLDER
    python experiments/inception_parity/parity.py jax FOLDER

The first, in an environment with PyTorch and torch-fidelity, writes random weights,
images and torch-fidelity's numbers to FOLDER; the second computes ours from the same
weights and images, prints both, and fails if they differ by more than they may.
"""

import argparse
import json
from pathlib import Path
import time
from unittest import mock

import numpy as np

COUNT = 32  # images in each of two sets
BATCH = 32
KINDS = {"colour": (64, 64, 3), "grey": (28, 28, 1)}  # sets with FID, KID and score
SINGLE = {"net_size": (299, 299, 3), "larger": (400, 320, 3)}  # features only, 8 images
FEATURE_TOLERANCE = 1e-4  # absolute, of features and of probabilities
METRIC_TOLERANCE = 1e-3  # relative


def make_images(count: int, shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """Noise of random coarseness and contrast, (count, H, W, C) uint8.

    Even and odd seeds draw from two distributions, so that their distance is not 0.
    """
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    images = np.empty((count, *shape), np.uint8)
    for image in images:
        coarse = rng.integers(1, 8 if seed % 2 else 14) * max(1, height // 64)
        cells = (-(-height // coarse), -(-width // coarse), channels)
        noise = rng.normal(rng.normal(128, 20), rng.uniform(40, 80), cells)
        noise = noise.repeat(coarse, axis=0).repeat(coarse, axis=1)
        image[:] = np.clip(noise[:height, :width], 0, 255)
    return images


def all_images() -> dict[str, np.ndarray]:
    """Every set of images by name."""
    sets: dict[str, np.ndarray] = {}
    for kind, shape in KINDS.items():
        sets[f"{kind}_real"] = make_images(COUNT, shape, seed=2 * len(sets))
        sets[f"{kind}_fake"] = make_images(COUNT, shape, seed=2 * len(sets) + 1)
    for kind, shape in SINGLE.items():
        sets[kind] = make_images(8, shape, seed=100 + len(sets))
    return sets


def write_weights(folder: Path) -> None:
    """Random weights under which activations stay of order 1, in both file formats.

    Convolutions are normal with variance 2 / fan-in. Scales of BatchNorm are uniform
    in [0.8, 1.2] and offsets N(0.3, 0.3^2); its statistics are those of a batch of
    images. Logits differ by some units from image to image.
    """
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as peer

    torch.manual_seed(0)
    with (
        mock.patch.object(torch, "load", return_value={}),
        mock.patch.object(peer.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        net = peer.FeatureExtractorInceptionV3("x", ["2048"], "none")
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.8, 1.2)
            module.bias.normal_(0.3, 0.3)
            module.momentum = 1.0
    net.fc.weight.normal_(0, 0.3)
    net.fc.bias.normal_()
    sets = (make_images(24, (64, 64, 3), seed=seed) for seed in (1000, 1001))
    images = np.concatenate(list(sets))
    net.train()(torch.from_numpy(images).permute(0, 3, 1, 2))
    state = net.state_dict()
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "stream.pth", _use_new_zipfile_serialization=False)


def run_torch(folder: Path) -> None:
    """Writes weights, and torch-fidelity's features, logits and metrics."""
    import torch

    # Without this torchvision, which torch-fidelity imports, fails beside a CPU build
    # of PyTorch: it describes two operators of its compiled part, never used here.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
    from torch_fidelity import feature_extractor_inceptionv3 as peer
    from torch_fidelity import metric_fid, metric_isc, metric_kid

    write_weights(folder)
    layers = ["2048", "logits_unbiased"]
    net = peer.FeatureExtractorInceptionV3("x", layers, str(folder / "zip.pth"))
    arrays, seconds = {}, time.perf_counter()
    for name, images in all_images().items():
        rgb = np.broadcast_to(images, (*images.shape[:3], 3)).transpose(0, 3, 1, 2)
        batches = torch.from_numpy(np.ascontiguousarray(rgb)).split(BATCH)
        outputs = [net(batch) for batch in batches]
        for layer, parts in zip(layers, zip(*outputs, strict=True), strict=True):
            arrays[f"{name}/{layer}"] = torch.cat(parts)
    print(f"torch: {time.perf_counter() - seconds:.0f} s")
    metrics = {}
    for kind in KINDS:
        real, fake = (arrays[f"{kind}_{which}/2048"] for which in ("real", "fake"))
        fits = [metric_fid.fid_features_to_statistics(x) for x in (real, fake)]
        metrics[kind] = {
            **metric_fid.fid_statistics_to_metric(*fits, verbose=False),
            **metric_kid.kid_features_to_metric(
                real, fake, kid_subsets=1, kid_subset_size=COUNT, verbose=False
            ),
            **metric_isc.isc_features_to_metric(
                arrays[f"{kind}_fake/logits_unbiased"], splits=10, shuffle=False
            ),
        }
    np.savez(folder / "torch.npz", **{k: v.numpy() for k, v in arrays.items()})
    (folder / "torch.json").write_text(json.dumps(metrics, indent=2))


def run_jax(folder: Path) -> None:
    """Compares ours with what torch-fidelity left in the folder."""
    import jax
    from scipy import special

    from gan_jax.evaluation import classes, frechet, inception, kernel

    jax.config.update("jax_numpy_rank_promotion", "raise")
    weights = inception.load_weights(folder / "zip.pth")
    stream = inception.load_weights(folder / "stream.pth")
    same = jax.tree.map(np.array_equal, weights.variables, stream.variables)
    check("weights of the two file formats", float(not all(jax.tree.leaves(same))), 0)
    theirs = np.load(folder / "torch.npz")
    values, probabilities, seconds = {}, {}, time.perf_counter()
    for name, images in all_images().items():
        values[name], probabilities[name] = inception.predict(
            weights, images, batch_size=BATCH
        )
        features = theirs[f"{name}/2048"]
        print(
            f"{name} {images.shape[1:]}: features {features.mean():.3f} on average, "
            f"{features.max():.3f} at most, standard deviation over images "
            f"{features.std(axis=0).mean():.3f}"
        )
        difference = np.abs(values[name] - features).max()
        check(f"{name} features, absolute", difference, FEATURE_TOLERANCE)
        expected = special.softmax(np.float64(theirs[f"{name}/logits_unbiased"]), 1)
        difference = np.abs(probabilities[name] - expected).max()
        check(f"{name} probabilities, absolute", difference, FEATURE_TOLERANCE)
    print(f"jax: {time.perf_counter() - seconds:.0f} s with compilation")
    metrics = json.loads((folder / "torch.json").read_text())
    for kind in KINDS:
        real, fake = values[f"{kind}_real"], values[f"{kind}_fake"]
        ours = {
            "frechet_inception_distance": frechet.frechet_distance(real, fake),
            "kernel_inception_distance_mean": kernel.kernel_distance(
                real, fake, subset_size=COUNT, num_subsets=1
            ).value,
            "inception_score_mean": classes.classifier_score(
                probabilities[f"{kind}_fake"], splits=10
            ).value,
        }
        for name, value in ours.items():
            expected = metrics[kind][name]
            print(f"{kind} {name}: torch-fidelity {expected:.8g}, gan_jax {value:.8g}")
            difference = abs(value / expected - 1)
            check(f"{kind} {name}, relative", difference, METRIC_TOLERANCE)


def check(name: str, difference: float, tolerance: float) -> None:
    """Prints a difference, and stops the program if it is more than it may be."""
    print(f"  {name}: differs by {difference:.2e}, may by {tolerance:.0e}")
    if not difference <= tolerance:
        raise SystemExit(f"{name} differs by {difference}, more than {tolerance}")


def main() -> None:
    """Runs one of the two halves."""
    parser = argparse.ArgumentParser(description="Compares with torch-fidelity.")
    parser.add_argument("half", choices=("torch", "jax"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    {"torch": run_torch, "jax": run_jax}[arguments.half](arguments.folder)


if __name__ == "__main__":
    main()
