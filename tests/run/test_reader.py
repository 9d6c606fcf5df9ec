"""A generator's file is read like a run's folder."""

import functools
import json
from pathlib import Path

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

import gan_jax
from gan_jax.evaluation import classifier
from gan_jax.formats import weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(conditional_run):
    return gan_jax.load(conditional_run)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "generator.npz"
    path.write_bytes(weights.to_npz(model))
    return path


def test_a_file_draws_what_its_run_draws(model, path, shared_folder):
    read = gan_jax.load(path)
    assert read.step == model.step and read.is_conditional
    for seed, label in ((0, None), (1, 2)):
        expected = model.sample(9, seed=seed, label=label).astype(int)
        found = read.sample(9, seed=seed, label=label)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2)  # half precision
    assert str(shared_folder).encode() not in path.read_bytes()


def test_the_parameters_take_half_the_bytes(model, path):
    total = 0
    with np.load(path) as arrays:
        for name in arrays:
            if name.startswith("params/"):
                assert arrays[name].dtype == np.float16
                total += arrays[name].size
    assert total == sum(
        leaf.size for leaf in jax.tree.leaves(model.variables["params"])
    )


def test_the_shipped_generator_draws_digits():
    path = ROOT / "experiments" / "dcgan_mnist" / "digits.npz"
    assert path.stat().st_size < 4 * 2**20
    model = gan_jax.load(path)
    assert model.config.data.name == "mnist" and model.step == 7_500
    weights = classifier.load(classifier.MNIST_WEIGHTS)
    _, probabilities = classifier.predict(weights, model.sample(500))
    shares = np.bincount(np.argmax(probabilities, axis=1), minlength=10) / 500
    assert (shares > 0.04).all()  # of ten classes
    assert np.mean(np.max(probabilities, axis=1) > 0.9) > 0.8


def test_another_step_is_refused(path):
    with pytest.raises(ValueError, match="holds the generator of step 4 alone, but st"):
        gan_jax.load(path, 2)


def test_the_best_checkpoint_is_refused(path):
    with pytest.raises(ValueError, match="step 4 alone, but the best checkpoint was a"):
        gan_jax.load(path, best=True)


def test_a_file_says_which_generator_it_holds(model, path, conditional_run):
    assert model.kind == gan_jax.load(path).kind == "averaged"
    path.write_bytes(weights.to_npz(gan_jax.load(conditional_run, raw=True)))
    assert gan_jax.load(path).kind == "raw"
    rewrite(path, lambda arrays, facts: facts.pop("generator"))
    assert gan_jax.load(path).kind == "raw"
    rewrite(path, lambda arrays, facts: facts.update(generator=["x"]))
    with pytest.raises(ValueError, match="its kind of generator is not known"):
        gan_jax.load(path)


def rewrite(path, change):
    with np.load(path) as opened:
        arrays = dict(opened)
    facts = json.loads(str(arrays["facts"]))
    change(arrays, facts)
    arrays["facts"] = np.array(json.dumps(facts))
    np.savez(path, **arrays)


def without_an_array(arrays, facts):
    arrays.popitem()
    del arrays[next(name for name in arrays if name.startswith("params"))]


def of_another_width(arrays, facts):
    facts["config"]["model"]["generator"]["features"] *= 2


def of_an_own_model(arrays, facts):
    facts["config"]["model"]["name"] = "os:system"


def without_a_step(arrays, facts):
    facts["step"] = "4"


def with_a_method(arrays, facts):
    facts["config"]["update"] = 1


@pytest.mark.parametrize(
    "change, message",
    [
        (without_an_array, "does not hold the generator of its config: .* is absent"),
        (of_another_width, "does not hold the generator of its config: .* instead of"),
        (of_an_own_model, "model.name is 'os:system', but must be one of"),
        (without_a_step, "its config is damaged"),
        (with_a_method, "its config is damaged"),
    ],
)
def test_a_damaged_file_is_refused(change, message, path):
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        gan_jax.load(path)


def test_what_is_no_generator_is_refused(path):
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as a generator"):
            gan_jax.load(path)


def test_a_packed_file_is_refused(path):
    with np.load(path) as opened:
        arrays = dict(opened)
    np.savez_compressed(path, **arrays)  # could be a bomb
    with pytest.raises(ValueError, match="its arrays are packed"):
        gan_jax.load(path)


def test_a_model_of_the_users_own_has_no_file(model):
    config = ConfigDict(model.config.to_dict())
    config.model.name = "mine:pair"
    with pytest.raises(ValueError, match="lies in a file of your own"):
        weights.to_npz(model._replace(config=config))


@pytest.mark.parametrize(
    "path_in_config, value",
    [(("batch_size",), 0), (("data", "image_size"), 10**30), (("model",), 3)],
)
def test_a_refused_config_is_said_to_be_that_of_the_file(path_in_config, value, path):
    def change(arrays, facts):
        *folders, name = path_in_config
        functools.reduce(dict.__getitem__, folders, facts["config"])[name] = value

    rewrite(path, change)
    with pytest.raises(ValueError, match=f"{path} does not describe a generator: "):
        gan_jax.load(path)


def test_arrays_of_texts_are_refused(path):
    with np.load(path) as opened:
        arrays = {name: np.full(array.shape, "x") for name, array in opened.items()}
        arrays["facts"] = opened["facts"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="no floating point numbers"):
        gan_jax.load(path)
