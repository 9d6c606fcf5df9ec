"""Mistaken values: each is a sentence before data are prepared or a folder claimed."""

import os
import re

import hypothesis
from hypothesis import strategies
import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from gan_jax import command, data, models, parallel, version
from gan_jax.data import tfds_source
from gan_jax.step import losses, penalties
from gan_jax.training import preflight, train
from tests import support

pytestmark = pytest.mark.slow

GIB = 2**30


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("seed", -1, "seed is -1, but must be at least 0 and at most 4,294,967,295"),
        ("seed", 2**32, "seed is 4294967296, but must be at least 0 and at most"),
        ("seed", 2**64, "seed is 18446744073709551616, but must be at least 0 and"),
        ("num_train_steps", 0, "num_train_steps is 0, but must be at least 1"),
        ("num_train_steps", 2**31, "at most 2,147,483,647: set --config.num_train_st"),
        ("batch_size", 0, "batch_size is 0, but must be at least 1"),
        ("batch_size", 10**9, "a batch of 1,000,000,000 .*: lower --config.batch_size"),
        ("batch_size", 10**12, "batch_size is 1000000000000, but must be at least 1"),
        ("steps_per_call", -1, "steps_per_call is -1, but must be at least 0"),
        ("log_every_steps", -1, "log_every_steps is -1, but must be at least 0"),
        ("checkpoints_to_keep", 0, "checkpoints_to_keep is 0, but must be at least 1"),
        ("checkpoints_to_keep", -1, "checkpoints_to_keep is -1, but must be at least"),
        ("matmul_precision", "tf32", "is 'tf32', but must be one of default, tensorf"),
        ("sample_rows", 0, "sample_rows is 0, but must be at least 1 and at most 10,0"),
        ("data.name", "aray", "Unknown data set 'aray' .did you mean 'array'"),
        ("data.image_size", 0, "image_size is 0, but must be at least 1 and at most 8"),
        ("data.channels", 0, "channels is 0, but must be .*: 1 .grey. or 3 .RGB., and"),
        ("data.channels", 2, "channels is 2, but array has images of 1 .grey. or 3"),
        ("data.crop", 1_000_000, "crop is 1000000, but must be .*at most 8,192 pixels"),
        ("data.split", "train[50:10]", "split is 'train.50:10.'"),
        ("data.device_bytes", -1, "device_bytes is -1, but must be at least 0"),
        ("data.cache_dir", "a\0", "cache_dir is 'a.x00', but must be text without a"),
        ("data.cache_dir", "gs://a", "is 'gs://a', but .* no address such as gs://BUC"),
        (
            "data.data_dir",
            "s3://a",
            "data_dir is 's3://a', but must be .*of this machi",
        ),
        (
            "compilation_cache_dir",
            "gs://a",
            "_cache_dir is 'gs://a', .* no address suc",
        ),
        ("model.latent_size", 0, "latent_size is 0, but must be at least 1 and at mos"),
        ("model.latent_size", -5, "latent_size is -5, but must be at least 1 and at m"),
        (
            "model.latent_size",
            10**10,
            "size is 10000000000, .*at most 131,072",
        ),
        ("model.generator.features", 0, "features is 0, but must be at least 1 and at"),
        ("model.generator.features", -8, "features is -8, but must be at least 1 and"),
        ("model.generator.features", 10**7, "features is 10000000, .*most 131,072"),
        ("model.discriminator.features", 0, "model.discriminator.features is 0, but"),
        ("model.generator.embedding_size", 0, "embedding_size is 0, but must be at l"),
        ("model.discriminator.auxiliary_weight", -1.0, "weight is -1.0, .*at least 0"),
        (
            "recipe.packing",
            128,
            "packing is 128, but must be .*at most 16",
        ),
        ("recipe.discriminator_steps", 10**6, "steps is 1000000, but .*at most 32"),
        ("recipe.real_label", 0.5, "real_label is 0.5, but must be above 0.5 up to 1"),
        ("recipe.penalty_weight", float("inf"), "weight is inf, but must be .*finite"),
        (
            "optimizer.generator.learning_rate",
            -1.0,
            "rate is -1.0, .*at least 0",
        ),
        ("optimizer.discriminator.learning_rate", float("nan"), "is nan, .*at least 0"),
        ("optimizer.discriminator.b1", 2.0, r"discriminator.b1 is 2.0, .*in .0, 1."),
        ("optimizer.schedule", "step", "schedule is 'step', .*one of constant, linear"),
        ("optimizer.warmup_steps", 5, "warmup_steps is 5, but the run has 4 steps"),
        (
            "optimizer.decay_share",
            0.0,
            "decay_share is 0.0, but must be in .0, 1.",
        ),
        ("evaluation.seed", -1, "evaluation.seed is -1, but must be at least 0"),
        ("evaluation.num_images", 1, "num_images is 1, but must be at least 2"),
        ("evaluation.best_metric", "frechet_distance", "eval_every_steps is 0 and not"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_prepared(
    tiny_config, field, value, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(data, "create", lambda config: pytest.fail("data prepared"))
    monkeypatch.setattr(tfds_source, "is_known", lambda config: False)
    tiny_config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name, preset, norm, is_refused",
    [
        ("dcgan", None, "batch", True),
        ("dcgan", None, "spectral", False),
        ("dcgan", None, "none", False),
        ("infogan", None, "batch", True),
        ("stacked_mnist", "authors", None, True),  # always has BatchNorm
        ("stacked_mnist", "half", None, True),
        ("gan", None, None, False),
    ],
)
def test_a_penalty_for_each_image_needs_logits_of_each_image(
    name, preset, norm, is_refused
):
    config = support.get_config(name, preset)
    config.recipe.penalty = "r1"
    if norm:
        config.model.discriminator.norm = norm
    if not is_refused:
        preflight.check_values(config)
        return
    with pytest.raises(ValueError, match="'r1' and the discriminator has BatchN.*set"):
        preflight.check_values(config)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_images": 2}, "frechet_distance needs at least 10 images, not 2"),
        ({"metrics": "fid"}, "fid is what the metric frechet_distance gives with"),
        ({"metrics": "label_accuracy"}, "extractor knows no classes"),
        ({"metrics": "modes"}, "the data are no mixture of Gaussians"),
        ({"extractor": "mnist"}, "are .16, 16, 1., but .* trained on .28, 28, 1."),
        ({"extractor": "inception"}, "'inception' needs a weights file"),
        ({"extractor": "inception", "weights": "no.pth"}, "file no.pth .* not exist"),
        ({"split": "test"}, "split is 'test'. An array file has the one split"),
        ({"best_metric": "coverage"}, "'coverage', but only frechet_distance are"),
        ({"best_metric": "fids"}, "'fids', but only frechet_distance are computed"),
        ({"best_metric": "ms_ssim", "metrics": "ms_ssim"}, "neither more nor less is"),
    ],
)
def test_evaluations_that_cannot_be_are_refused_before_the_run(
    tiny_config, settings, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(data, "create", lambda config: pytest.fail("data prepared"))
    tiny_config.eval_every_steps = 2
    tiny_config.evaluation.update(settings)
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Processes of a job that differ; each call of check_hosts is that of the next process.


@pytest.fixture
def check_host(tiny_config, monkeypatch):
    """Calls check_hosts as the next process of a job, with these data."""
    told = []
    monkeypatch.setattr(
        parallel, "gather", lambda facts: told.append(dict(facts)) or told
    )

    def check(*, count=600, image=(), labelled=()):
        images = np.zeros((count, 4, 4, 1), np.uint8)
        images[list(image)] = 1
        labels = np.zeros(count, np.int32)
        labels[list(labelled)] = 1
        preflight.check_hosts(tiny_config, data.Dataset(images, labels, 2))

    return check


def test_processes_may_differ_in_where_their_files_lie(check_host, tiny_config):
    check_host()
    tiny_config.data.cache_dir = "elsewhere"
    check_host()


@pytest.mark.parametrize(
    "other, message",
    [
        (
            {"count": 599},
            "the number of images, which is 600 in .* 1, 599 in process 2",
        ),
        ({"image": [0]}, "the data's SHA-256, which is '.*' in process 0, '.*' in pro"),
        ({"image": [-1]}, "the data's SHA-256"),
        ({"labelled": [300]}, "the data's SHA-256"),
    ],
)
def test_processes_that_differ_in_their_data_are_refused(check_host, other, message):
    check_host()
    check_host()
    with pytest.raises(ValueError, match=f"differ in .*{message}.*: start all of them"):
        check_host(**other)


@pytest.mark.parametrize(
    "module, name, value, message",
    [
        (version, "VERSION", "9.9", "the version of gan_jax, .*'9.9' in process 1"),
        (jax, "__version__", "9.9", "the version of jax, which .*'9.9' in process 1"),
        (jax, "local_device_count", lambda: 3, "local devices, .*2 in .* 0, 3 in pro"),
        (preflight, "_digest_code", lambda folder: "9", "SHA-256 of gan_jax's code"),
    ],
)
def test_processes_that_differ_in_code_or_devices_are_refused(
    check_host, monkeypatch, module, name, value, message
):
    check_host()
    monkeypatch.setattr(module, name, value)
    with pytest.raises(
        ValueError, match=f"the processes of the job differ .*{message}"
    ):
        check_host()


def test_a_digest_of_code_sees_names_and_contents_of_python_files(tmp_path):
    def digest(name, text):
        (tmp_path / name).write_text(text)
        found = preflight._digest_code(tmp_path)
        (tmp_path / name).unlink()
        return found

    first = digest("a.py", "x = 1")
    assert digest("a.py", "x = 1") == first
    assert first not in (digest("b.py", "x = 1"), digest("a.py", "x = 2"))
    assert digest("a.pyc", "x = 1") == digest("b.txt", "x = 2")  # no code


def test_a_config_without_a_section_is_refused(tiny_config):
    tiny_config.unlock()
    del tiny_config.evaluation
    with pytest.raises(ValueError, match="the config has no section evaluation"):
        preflight.check(tiny_config)


# Any field of any config, with any value of its type.

WORDS = sorted(
    {"", "none", "all", "cheap", "a\0", "train[:7]", "/dev/null"}
    | {*losses.LOSSES, *penalties.PENALTIES, *data.SOURCES, *models.MODELS}
    | {*preflight.RANGES}
    | {
        name
        for ranges in preflight.SECTIONS.values()
        for x in ranges.values()
        for name in x.names
    }
)
INTEGERS = strategies.sampled_from(
    [-1, 0, 1, 2, 3, 4, 7, 16, 28, 32, 100, 1_000, 10**5, 10**9, 2**31, 2**32, 2**64]
)
FLOATS = strategies.sampled_from(
    [-1.0, 0.0, 1e-9, 0.1, 0.5, 0.9, 1.0, 2.0, 1e30, 1e39, float("inf"), float("nan")]
)


def values_like(value):
    if isinstance(value, bool):
        return strategies.booleans()
    if isinstance(value, int):
        return INTEGERS | strategies.integers(-(2**70), 2**70)
    if isinstance(value, float):
        return FLOATS | strategies.floats()
    if isinstance(value, str):
        return strategies.sampled_from(WORDS) | strategies.text(
            "aé/.:[]%,\0", max_size=9
        )
    return strategies.lists(INTEGERS, max_size=4).map(tuple)


def leaves(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@strategies.composite
def configs(draw):
    """A shipped config with one to three fields changed."""
    config = support.get_config(*draw(strategies.sampled_from(support.CASES)))
    config.model.convolution = "lax"  # is traced in a quarter of the time
    if config.data.name == "folder":
        config.data.manual_dir = os.path.dirname(__file__)
    fields = dict(leaves(config))
    names = strategies.sampled_from(sorted(fields))
    for name in draw(strategies.lists(names, min_size=1, max_size=3, unique=True)):
        config.update_from_flattened_dict({name: draw(values_like(fields[name]))})
    return config


def is_refused(config):
    """Whether checks, and shapes traced within them, refuse a config in a sentence."""
    try:
        train.check(config)
    except ValueError as error:
        assert command._raised_here(error), error
        assert re.search(r"--config|[Ss]et ", str(error)) and str(error)[-1] == ".", (
            error
        )
        return True
    return False


@hypothesis.settings(
    max_examples=int(os.environ.get("GAN_JAX_CASES", "50")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(config=configs())
def test_any_value_is_either_refused_in_a_sentence_or_has_shapes(config):
    machine = parallel.Memory(of_host=24 * GIB, of_device=24 * GIB, devices=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "memory", lambda: machine)
        patch.setattr(tfds_source, "is_known", lambda config: False)
        is_refused(config)
