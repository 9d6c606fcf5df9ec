"""Runs are read from their folder alone, and images are drawn from them."""

import functools
import json
from pathlib import Path
import shutil

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax.run import reader, trained
from gan_jax.step import sampling
from gan_jax.training import train, writer
from tests import support

pytestmark = pytest.mark.slow

OLD_CONFIG = Path(__file__).parents[1] / "fixtures" / "config_of_0.1.0.json"


@pytest.fixture(scope="module")
def workdir(conditional_run):
    return conditional_run


@pytest.fixture(scope="module")
def run(workdir):
    return reader.load(workdir)


def test_images_depend_on_seed_and_place_alone(run):
    images, labels = run.draw(10, seed=0)
    assert images.shape == (10, 16, 16, 1) and images.dtype == np.uint8
    assert labels.shape == (10,)
    for batch_size in (1, 4):
        again, again_labels = run.draw(10, seed=0, batch_size=batch_size)
        # The order of additions in a batch may move a level by one.
        np.testing.assert_allclose(again.astype(int), images, rtol=0, atol=1)
        np.testing.assert_array_equal(again_labels, labels)
    other, _ = run.draw(10, seed=1)
    assert np.any(other != images)


def test_a_run_is_loaded_and_sampled_in_three_lines(workdir, run):
    model = gan_jax.load(str(workdir))
    images = model.sample(4, seed=1, label=2)
    expected, _ = run.with_averaged().draw(4, seed=1, label=2)
    np.testing.assert_array_equal(images, expected)
    raw = gan_jax.load(workdir, 2, raw=True)
    assert raw.step == 2
    np.testing.assert_array_equal(
        raw.sample(3), reader.load(workdir, 2).draw(3, seed=0)[0]
    )
    with pytest.raises(ValueError, match="0 images were asked for"):
        raw.sample(0)


def test_images_are_sampled_from_the_latents_that_can_be_drawn(workdir):
    model = gan_jax.load(workdir)
    latents, labels = model.draw_latents(7, seed=3), model.draw_labels(7, seed=3)
    assert latents.shape == (7, 5) and latents.dtype == np.float32
    assert labels.shape == (7,) and labels.dtype == np.int32
    images = model.generate(latents, labels)
    assert images.shape == (7, 16, 16, 1) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, model.sample(7, seed=3))
    np.testing.assert_array_equal(
        model.generate(latents, 1), model.sample(7, seed=3, label=1)
    )
    np.testing.assert_array_equal(model.draw_latents(3, seed=3), latents[:3])
    with pytest.raises(ValueError, match="0 images were asked for: ask for 1 or more"):
        model.draw_latents(0)


def test_an_image_depends_on_its_latent_alone(run):
    """Float images are compared: a byte would hide differences below 1/255."""
    latents, labels = run.draw_latents(10, seed=0), run.draw_labels(10, seed=0)
    draw = functools.partial(
        jax.jit(sampling.generate_images, static_argnums=0),
        *(run.generator, run.variables),
    )
    together = draw(latents, labels)
    for batch_size in (1, 3):
        parts = [
            draw(latents[i : i + batch_size], labels[i : i + batch_size])
            for i in range(0, 10, batch_size)
        ]
        np.testing.assert_allclose(np.concatenate(parts), together, rtol=0, atol=1e-5)
        again = run.generate(latents, labels, batch_size=batch_size)
        expected = run.generate(latents, labels).astype(int)
        np.testing.assert_allclose(again, expected, rtol=0, atol=1)


@pytest.mark.parametrize(
    "latents, labels, message",
    [
        (np.zeros((2, 4)), 0, r"latents have the shape \(2, 4\), but .* \(N, 5\)"),
        (np.zeros(5), 0, r"latents have the shape \(5,\), but .* takes \(N, 5\)"),
        (np.zeros((0, 5)), 0, r"latents have the shape \(0, 5\)"),
        (np.full((2, 5), np.nan), 0, "the latents hold values that are not finite"),
        (np.zeros((2, 5)), None, "no labels, but the run is conditional: .* 0 to 2"),
        (np.zeros((2, 5)), [0, 1, 2], r"shape \(3,\), but must .* shape \(2,\)"),
        (np.zeros((2, 5)), [0.0, 1.0], "labels are float64 .* must be one integer"),
        (np.zeros((2, 5)), [0, 3], "label is 3, but the run has the classes 0 to 2"),
        (np.zeros((2, 5)), [-1, 0], "label is -1, but the run has the classes 0 to 2"),
    ],
)
def test_latents_and_labels_that_do_not_fit_are_refused(run, latents, labels, message):
    with pytest.raises(ValueError, match=message):
        run.generate(latents, labels)


def test_latents_of_an_unconditional_run_have_no_labels(tiny_config, tmp_path):
    train.train_and_evaluate(tiny_config, tmp_path)
    run = reader.load(tmp_path)
    latents = run.draw_latents(3)
    np.testing.assert_array_equal(run.generate(latents), run.sample(3))
    with pytest.raises(ValueError, match="label is 1, but .* is unconditional"):
        run.generate(latents, [1, 1, 1])


def test_normal_latents_can_be_truncated_and_uniform_ones_cannot(run):
    latents = run.draw_latents(50, truncation=0.5)
    assert np.abs(latents).max() <= 0.5
    np.testing.assert_array_equal(np.sign(latents), np.sign(run.draw_latents(50)))
    config = run.config.copy_and_resolve_references()
    config.model.latent_distribution = "uniform"
    with pytest.raises(ValueError, match="truncation is 0.5, but .* are uniform"):
        run._replace(config=config).draw_latents(2, truncation=0.5)


def test_a_loaded_generator_is_a_function_inside_jit(workdir):
    model = gan_jax.load(workdir)
    apply = jax.jit(functools.partial(model.generator.apply, train=False))
    latents = jax.random.normal(jax.random.key(0), (2, model.config.model.latent_size))
    images = apply(model.variables, latents, np.array([0, 1]))
    assert images.shape == (2, 16, 16, 1) and np.abs(images).max() <= 1


def test_an_older_checkpoint_can_be_asked_for(workdir, run):
    older = reader.load(workdir, 2)
    assert (older.step, run.step) == (2, 4)
    old, _ = older.draw(4, seed=0)
    new, _ = run.draw(4, seed=0)
    assert np.any(old != new)


def test_the_averaged_generator_is_another_one(run):
    raw, _ = run.draw(4, seed=0)
    averaged, _ = run.with_averaged().draw(4, seed=0)
    assert np.any(raw != averaged)


def test_the_averaged_generator_has_its_parameters_and_statistics_of_its_own(run):
    variables = run.with_averaged().variables
    for leaf, expected in zip(
        jax.tree.leaves(variables["params"]), jax.tree.leaves(run.averaged), strict=True
    ):
        np.testing.assert_array_equal(leaf, expected)
    pairs = zip(
        jax.tree.leaves(variables["batch_stats"]),
        jax.tree.leaves(run.variables["batch_stats"]),
        strict=True,
    )
    assert all(np.any(one != other) for one, other in pairs)


def test_a_sample_grid_of_the_averaged_generator_waits_for_nothing(run, monkeypatch):
    expected = run.with_averaged().variables

    def refuse(tree):
        raise AssertionError("the device was waited for")

    monkeypatch.setattr(jax, "block_until_ready", refuse)
    draw = writer.make_draw(run.config, run.generator, jax.random.key(0))
    assert draw(run.variables, run.averaged).images.shape == (4, 16, 16, 1)
    found = trained.averaged_variables(
        run.config, run.generator, run.variables, run.averaged, waits=False
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_step_is_a_step_however_many_updates_it_holds(shared_folder, tmp_path):
    config = support.make_tiny_config(shared_folder)
    config.recipe.generator_steps = 2
    train.train_and_evaluate(config, tmp_path)
    assert reader.load(tmp_path).step == reader.steps(tmp_path)[-1] == 4


def test_a_run_without_an_average_says_so(run):
    with pytest.raises(ValueError, match="the run keeps no average: ask for the raw"):
        run._replace(averaged={}).with_averaged()


def test_batch_statistics_are_those_of_the_batch(run):
    """The images of one batch then depend on each other, and on nothing before."""
    first, _ = run.draw(4, seed=0, statistics="batch", batch_size=4)
    eight, _ = run.draw(4, seed=0, statistics="batch", batch_size=8)
    running, _ = run.draw(4, seed=0)
    assert np.any(first != eight) and np.any(first != running)
    forgotten = jax.tree.map(np.zeros_like, run.variables["batch_stats"])
    other = run._replace(variables=run.variables | {"batch_stats": forgotten})
    again, _ = other.draw(4, seed=0, statistics="batch", batch_size=4)
    np.testing.assert_array_equal(first, again)


def test_a_label_can_be_asked_for(run):
    images, labels = run.draw(4, seed=0, label=2)
    other, _ = run.draw(4, seed=0, label=1)
    np.testing.assert_array_equal(labels, [2] * 4)
    assert np.any(images != other)


def test_a_run_with_conditional_batch_norm_can_be_sampled(shared_folder, tmp_path):
    config = support.make_tiny_config(shared_folder)
    config.model.generator.condition = "batch_norm"
    config.model.discriminator.condition = "projection"
    train.train_and_evaluate(config, tmp_path)
    images, labels = reader.load(tmp_path).draw(4, seed=0, batch_size=2)
    assert images.shape == (4, 16, 16, 1) and labels.shape == (4,)


def test_an_attribute_names_its_two_classes(run):
    config = run.config.copy_and_resolve_references()
    config.data.label, config.data.num_classes = "Smiling", 2
    faces = run._replace(config=config)
    found = [faces.class_of(x) for x in ("Smiling", "not Smiling", "1", 0)]
    assert found == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="has 'not Smiling' or 'Smiling': give --lab"):
        faces.class_of("smiling")
    with pytest.raises(ValueError, match="'cat', but the run has no names of classes"):
        run.sample(1, label="cat")
    np.testing.assert_array_equal(run.sample(2, label="2"), run.sample(2, label=2))


def test_an_unconditional_run_has_no_labels(run):
    config = run.config.copy_and_resolve_references()
    config.model.generator.condition = "none"
    with pytest.raises(ValueError, match="label is 1, but .* is unconditional"):
        run._replace(config=config).draw(1, seed=0, label=1)


def test_a_label_that_does_not_exist_is_refused(run):
    with pytest.raises(ValueError, match="label is 3, but .* classes 0 to 2"):
        run.draw(1, seed=0, label=3)


def test_a_run_of_an_earlier_version_is_read(tiny_config, tmp_path):
    train.train_and_evaluate(tiny_config, tmp_path)
    images, _ = reader.load(tmp_path).draw(4, seed=0)
    shutil.copy(OLD_CONFIG, tmp_path / "config.json")
    again, _ = reader.load(tmp_path).draw(4, seed=0)
    np.testing.assert_array_equal(images, again)


def test_a_run_of_an_earlier_version_that_cannot_be_read_is_refused(
    tiny_config, tmp_path
):
    tiny_config.model.generator.features = 6  # so that parameters differ
    train.train_and_evaluate(tiny_config, tmp_path)
    text = OLD_CONFIG.read_text()
    for old, new in [("", ""), ('"upsampling"', '"up"'), ('"latent_size"', '"size"')]:
        (tmp_path / "config.json").write_text(text.replace(old, new))
        with pytest.raises(
            ValueError,
            match=r"was made by gan_jax 0.1.0 or earlier, and gan_jax \S+ cannot use it"
            r".*Use the version that made it, or train anew",
        ):
            reader.load(tmp_path)


@pytest.mark.parametrize(
    "section, field, value, message",
    [
        ("model", "latent_size", 10**10, "latent_size is 10000000000, but must be"),
        ("model", "latent_size", "5", "model.latent_size is '5', but must be a whole"),
        ("model", "name", "dcgn", "model.name is 'dcgn', but must be one of dcgan"),
        ("data", "image_size", 10**6, "data.image_size is 1000000, but must be"),
        ("data", "num_classes", None, "data.num_classes is None, but must be a whole"),
        ("recipe", "ema_decay", "x", "recipe.ema_decay is 'x', but must be a number"),
        ("recipe", "lecam_weight", None, "lecam_weight is None, but must be a number"),
        ("recipe", "packing", 10**9, "recipe.packing is 1000000000, but must be"),
        ("model", "generator", 3, "the config has no section generator"),
        ("model", "discriminator", {}, "no field model.discriminator.condition"),
    ],
)
def test_values_in_a_runs_config_are_checked(
    tiny_config, tmp_path, section, field, value, message
):
    config = tiny_config.to_dict()
    config[section][field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        reader.load(tmp_path)


def test_a_run_whose_config_lacks_a_section_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"data": {"image_size": 28}}')
    with pytest.raises(ValueError, match="the config has no field data.channels"):
        reader.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="the config has no section data"):
        reader.load(tmp_path)
