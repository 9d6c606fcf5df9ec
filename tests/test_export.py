"""The command that exports a generator: its files, their readers, mistakes."""

import hashlib
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import formats
from gan_jax.formats import programs
from gan_jax.models import mlp
from gan_jax.run import images as images_lib
from gan_jax.step import sampling

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "experiments" / "exported"
SCORES = {
    "numbers": {"frechet_distance": {"value": 3.0, "standard_error": None}},
    "protocol": {"extractor": "pixels", "num_images": 20},
}


@pytest.fixture(scope="module")
def run(conditional_run, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(conditional_run, workdir)
    with (workdir / "scores.jsonl").open("w") as file:
        for step, kind in ((4, "averaged"), (4, "raw"), (2, "averaged")):
            record = {"step": step, "generator": kind, **SCORES}
            file.write(json.dumps(record) + "\n")
    return workdir


@pytest.fixture(scope="module")
def drawn(run, tmp_path_factory):
    """A file of inputs, and the images (7, 16, 16, 1) that the run draws of them."""
    model = gan_jax.load(run)
    latents, labels = model.draw_latents(7), model.draw_labels(7)
    path = tmp_path_factory.mktemp("drawn") / "latents.npz"
    np.savez(path, latents=latents, labels=labels)
    arrays = model.variables, jnp.asarray(latents), jnp.asarray(labels)
    images = np.asarray(sampling.generate_images(model.generator, *arrays))
    levels = images_lib.to_uint8(images).astype(int)
    stored = model.generate(latents, labels)
    np.testing.assert_allclose(levels, stored, rtol=0, atol=1)
    return path, images


def command(run, *flags):
    return subprocess.run(
        [sys.executable, "-m", "gan_jax.export", f"--workdir={run}", *flags],
        capture_output=True,
        text=True,
    )


def read(example, *arguments, without=("gan_jax", "jax")):
    """Runs an example and returns what it printed; it cannot import some packages."""
    code = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({without!r}))\n"
        f"sys.argv = {[example, *map(str, arguments)]!r}\n"
        f"runpy.run_path({str(EXAMPLES / example)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_in_a_bucket_has_the_file_and_the_card_of_its_folder(run, tmp_path):
    path = tmp_path / "generator.safetensors"
    done = command(f"file://{run}", f"--output={path}")
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == formats.FORMATS["safetensors"].create(gan_jax.load(run))
    card = json.loads((tmp_path / "generator.safetensors.json").read_text())
    assert card["run"] == run.name and card["scores"] == [SCORES]


def test_a_program_is_read_by_jax_alone(run, drawn, tmp_path):
    inputs, images = drawn
    output, result = tmp_path / "generator.stablehlo", tmp_path / "images.npy"
    done = command(run, f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert re.search("averaged generator of step 4 as stablehlo to", done.stderr)
    read("load_stablehlo.py", output, inputs, result, without=("gan_jax", "flax"))
    np.testing.assert_allclose(np.load(result), images, rtol=0, atol=1e-5)


def test_an_onnx_model_is_read_without_jax(run, drawn, tmp_path):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    inputs, images = drawn
    output, result = tmp_path / "generator.onnx", tmp_path / "images.npy"
    done = command(run, f"--output={output}")
    assert done.returncode == 0, done.stderr
    read("load_onnx.py", output, inputs, result)
    np.testing.assert_allclose(np.load(result), images, rtol=0, atol=1e-4)


def test_weights_are_read_without_jax(run, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    output = tmp_path / "generator.safetensors"
    flags = ("--step=2", "--noaveraged")
    done = command(run, f"--output={output}", *flags)
    assert done.returncode == 0, done.stderr
    assert "the generator of step 2 as safetensors" in done.stderr
    printed = read("load_safetensors.py", output)
    assert printed.startswith("generator of step 2, not known for array\n")
    arrays = numpy.load_file(output)
    # 4x4 pixels, 5 latents and 3 one-hot labels, twice the 4 features.
    assert "params.project.kernel float32 (4, 4, 8, 8)" in printed
    variables = gan_jax.load(run, 2, raw=True).variables
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name = ".".join(entry.key for entry in path)
        np.testing.assert_array_equal(arrays.pop(name), leaf)
    assert not arrays


def test_the_card_says_what_a_user_must_know(run, tmp_path):
    pytest.importorskip("safetensors")
    output = tmp_path / "weights"
    done = command(run, f"--output={output}", "--format=safetensors")
    assert done.returncode == 0, done.stderr
    assert sorted(tmp_path.iterdir()) == [output, tmp_path / "weights.json"]
    text = (tmp_path / "weights.json").read_text()
    card = json.loads(text)
    config = card.pop("config")
    assert config["model"]["latent_size"] == 5 and config["data"]["image_size"] == 16
    assert "/" not in text.partition('"scores"')[0]
    assert config["data"]["manual_dir"] == "" and str(run.parent) not in text
    assert card == {
        "format": "safetensors",
        "sha256": hashlib.sha256(output.read_bytes()).hexdigest(),
        "made_by": f"gan_jax {gan_jax.__version__}",
        "run": run.name,
        "step": 4,
        "generator": "averaged",
        "latents": {
            "size": 5,
            "distribution": "normal",
            "range": None,
            "truncation": "any largest magnitude above 0",
        },
        "labels": {"dtype": "int32", "range": [0, 2]},
        "images": {
            "shape": [16, 16, 1],
            "dtype": "float32",
            "range": [-1, 1],
            "to_bytes": "clip(rint((images + 1) * 127.5), 0, 255)",
        },
        "data": "array",
        "licence_of_the_data": "not known for array",
        "scores": [SCORES],
    }


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--output=a.png", "must end in one of .stablehlo, .onnx, .safetensors, .npz"),
        ("--output=a.onnx --format=stablehlo", "--format is stablehlo, but --output"),
        ("--output=no/a.stablehlo", "folder of the output .* does not exist"),
        ("--output=a.stablehlo --step=3", "no checkpoint .*3"),
    ],
)
def test_what_cannot_be_is_refused(run, flags, message):
    done = command(run, *flags.split())
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1


def test_a_generators_file_is_exported_again(run, tmp_path):
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    for source, output in ((run, first), (first, second)):
        done = command(source, f"--output={output}")
        assert done.returncode == 0, done.stderr
    assert first.read_bytes() == second.read_bytes()
    card = json.loads((tmp_path / "second.npz.json").read_text())
    assert card["scores"] == [] and card["generator"] == "averaged"


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'jax2onnx, .* python -m pip install "\.\[onnx'
    ):
        formats.check_installed("onnx")


def test_random_masks_are_refused_as_onnx():
    run = SimpleNamespace(generator=mlp.Generator(8, test_dropout=True))
    with pytest.raises(ValueError, match="test_dropout.*export it as stablehlo"):
        programs.to_onnx(run)
