"""What a score is made of: the images drawn, the numbers, the protocol."""

from importlib import metadata

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax import data
from gan_jax.evaluation import features, frechet, probe, scores, suite
from gan_jax.evaluation.estimate import Estimate
from gan_jax.run import reader, trained
from tests import support

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(conditional_run):
    return reader.load(conditional_run)


@pytest.fixture
def config(shared_folder):
    return support.make_tiny_config(shared_folder)


def make_scorer(config, **settings):
    config.evaluation.update(settings)
    return scores.Scorer(config.data, config.evaluation)


def test_a_score_is_the_metric_of_the_images_drawn(config, run):
    found = make_scorer(config, num_images=48, seed=3).score_run(run)
    fake = run.sample(48, seed=3)
    with np.load(config.data.manual_dir) as arrays:
        real = arrays["images"]
    expected = frechet.frechet_distance(
        *(np.float32(x.reshape(48, -1)) / 255 for x in (real, fake))
    )
    number = found.numbers["frechet_distance"]
    np.testing.assert_allclose(number.value, expected, rtol=1e-3)
    assert number.standard_error is None


def test_scoring_does_not_need_the_package_installed(config, run, monkeypatch):
    def version(name, installed=metadata.version):
        if name == "gan_jax":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    protocol = make_scorer(config).score_run(run).protocol
    assert protocol["versions"]["gan_jax"] == gan_jax.__version__


def test_features_have_full_precision_and_images_that_of_the_run(
    config, run, monkeypatch
):
    seen = {}

    def watch(module, name):
        function = getattr(module, name)

        def watched(*args, **kwargs):
            seen[name] = jax.config.jax_default_matmul_precision
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch(features, "extract_once")
    watch(features, "extract")
    watch(trained, "_generate")
    run = run._replace(config=run.config.copy_and_resolve_references())
    run.config.matmul_precision = "tensorfloat32"
    make_scorer(config).score_run(run)
    assert seen == {
        "extract_once": "highest",
        "extract": "highest",
        "_generate": "tensorfloat32",
    }


def test_draws_have_seeds_of_their_own_and_give_the_error(config, run):
    alone = [
        make_scorer(config, seed=seed).score_run(run).numbers["frechet_distance"].value
        for seed in (5, 6, 7)
    ]
    joined = make_scorer(config, seed=5, draws=3).score_run(run)
    number = joined.numbers["frechet_distance"]
    np.testing.assert_allclose(number.value, np.mean(alone), rtol=1e-6)
    error = np.std(alone, ddof=1) / 3**0.5
    np.testing.assert_allclose(number.standard_error, error, rtol=1e-6)


@pytest.mark.parametrize(
    "split, chooses", [("train[:50000]", 50_000), ("train", 59_000)]
)
def test_the_width_is_chosen_on_images_that_the_run_leaves_out(
    monkeypatch, split, chooses
):
    """Images are numbered by their place in the training set, from 100,000 in test."""
    places = {
        "train": np.arange(60_000),
        "train[:50000]": np.arange(50_000),
        "train[50000:]": np.arange(50_000, 60_000),
        "test": np.arange(100_000, 110_000),
    }

    def create(config):
        return data.Dataset(places[config.split], np.zeros(1, np.int32), 1)

    monkeypatch.setattr(data, "create", create)
    config = support.get_config("gan", None).data
    config.split = split
    found = scores._read_validation(config, create(config), "test")
    np.testing.assert_array_equal(found, np.arange(chooses, chooses + 1_000))
    config.split = "train[:50000]"  # scored against what is left out: choose elsewhere
    for scored in ("train[50000:]", "train[50000:55000]"):
        found = scores._read_validation(config, create(config), scored)
        np.testing.assert_array_equal(found, np.arange(49_000, 50_000))
    config.split = "train"  # scored against training images
    found = scores._read_validation(config, create(config), "train")
    assert not np.intersect1d(found, scores._subset(60_000, 59_000, seed=0)).size


@pytest.fixture
def sorted_config(config, tmp_path):
    """Three classes of 1,000 dark to bright images, sorted by class."""
    labels = np.repeat(np.arange(3, dtype=np.int32), 1_000)
    images = np.broadcast_to(
        np.uint8(100 * labels + np.arange(3_000) % 50)[:, None, None, None],
        (3_000, 16, 16, 1),
    )
    np.savez(tmp_path / "sorted.npz", images=images, labels=labels)
    config.data.manual_dir = str(tmp_path / "sorted.npz")
    return config


def test_a_width_is_chosen_on_all_classes_of_a_sorted_array(sorted_config):
    scorer = make_scorer(sorted_config, num_images=2_000)
    chosen = scores._choosing(3_000, among_real=True)
    shares = np.bincount(scorer.training.labels[chosen]) / 1_000
    np.testing.assert_allclose(shares, 1 / 3, rtol=0, atol=0.05)
    real = scores._subset(3_000, 2_000, seed=0)
    assert not np.intersect1d(chosen, real).size
    np.testing.assert_array_equal(scorer._validation(), scorer.training.images[chosen])


def test_training_images_to_score_have_all_classes_of_a_sorted_array(
    sorted_config, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        scores.Scorer, "_score", lambda self, draw, *rest: seen.append(draw(0))
    )
    make_scorer(sorted_config, num_images=1_000).score_training()
    ((images, labels),) = seen
    assert len(images) == 1_000
    np.testing.assert_allclose(np.bincount(labels) / 1_000, 1 / 3, rtol=0, atol=0.05)


def test_training_images_to_score_are_not_those_that_they_are_compared_with(
    config, tmp_path
):
    images = np.arange(60, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (60, 16, 16, 1))
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(60) % 3)
    config.data.manual_dir = str(tmp_path / "images.npz")
    seen = []
    scorer = make_scorer(config, num_images=30)
    scorer._score = lambda draw, *rest: seen.append(draw(0)[0])
    scorer.score_training()
    places = np.concatenate([scorer.real.images, *seen])[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(places), np.arange(60))
    message = "29 images to score that are not among the real ones, but 31 were"
    with pytest.raises(ValueError, match=message):
        make_scorer(config, num_images=31).score_training()


def test_draws_from_given_images_have_no_image_in_common(config):
    scorer = make_scorer(config, num_images=20, draws=3, seed=4)
    images = np.arange(60, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (60, 16, 16, 1))
    drawn = []
    scorer._score = lambda draw, *rest: drawn.extend(
        draw(seed)[0] for seed in (4, 5, 6)
    )
    scorer.score_images(images, None)
    places = np.stack(drawn)[..., 0, 0, 0]
    np.testing.assert_array_equal(np.sort(places.ravel()), np.arange(60))
    with pytest.raises(ValueError, match="59 images to score, but 20 in each of 3"):
        scorer.score_images(images[:59], None)


def test_labels_of_a_single_class_are_left_out(config):
    scorer = make_scorer(config, num_images=20)
    scorer.training = scorer.training._replace(num_classes=1)
    drawn = []
    scorer._score = lambda draw, *rest: drawn.append(draw(0))
    scorer.score_images(np.zeros((20, 16, 16, 1), np.uint8), np.zeros(20, int))
    assert drawn[0][1] is None


def test_a_packed_discriminator_has_no_features(config, run):
    config.recipe.packing = 2
    run = run._replace(config=config)
    scorer = make_scorer(config, metrics="linear_probe")
    with pytest.raises(ValueError, match="recipe.packing is above 1"):
        scorer.score_run(run)
    config.eval_every_steps = 2
    with pytest.raises(ValueError, match="recipe.packing is above 1"):
        scores.check(config)


def test_the_data_themselves_are_at_no_distance(config):
    scorer = make_scorer(config, num_images=48)
    found = scorer.score_images(scorer.training.images, scorer.training.labels)
    # 768 features of 48 images: rounding, against a scale of about 60.
    np.testing.assert_allclose(
        found.numbers["frechet_distance"].value, 0, rtol=0, atol=1e-3
    )


def test_what_decides_a_number_is_in_its_protocol(config, run):
    one = make_scorer(config).score_run(run).protocol
    others = {
        "seed": make_scorer(config, seed=1).score_run(run).protocol,
        "num_images": make_scorer(config, num_images=10).score_run(run).protocol,
        "draws": make_scorer(config, draws=2).score_run(run).protocol,
        "statistics": make_scorer(config, statistics="batch").score_run(run).protocol,
    }
    for name, other in others.items():
        assert one[name] != other[name]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_images": 1}, "num_images is 1, but must be at least 2"),
        ({"draws": 0}, "draws is 0, but must be at least 1"),
        ({"statistics": "mean"}, "statistics is 'mean', .*one of running, batch"),
        ({"seed": -1}, "evaluation.seed is -1, but must be at least 0"),
        ({"extractor": "vgg"}, "extractor is 'vgg', but must be one of pixels"),
        ({"weights": "a.npz"}, "'pixels' takes no weights, not a.npz"),
        ({"extractor": "inception"}, "'inception' needs a weights file: give"),
        ({"extractor": "mnist"}, "16, 16, 1.*was trained on .28, 28, 1"),
    ],
)
def test_settings_out_of_range_are_refused(config, settings, message):
    with pytest.raises(ValueError, match=message):
        make_scorer(config, **settings)


@pytest.mark.parametrize(
    "metrics, num, message",
    [
        ("fret", 20, "no metric 'fret', there are: frechet_distance"),
        ("fid", 20, "fid is what the metric frechet_distance gives with"),
        ("cheap", 5, "no metric of cheap can be computed from 5 images"),
        ("classifier_score", 200, "classifier_score cannot be computed: the extractor"),
        ("memorisation", 200, "memorisation cannot be computed: the real images are"),
        ("prdc", 5, "prdc needs at least 10 images, not 5: raise --num_images"),
        ("frechet_distance", 2, "frechet_distance needs at least 10 images, not 2"),
    ],
)
def test_metrics_that_cannot_be_are_refused(config, run, metrics, num, message):
    scorer = make_scorer(config, metrics=metrics, num_images=num)
    with pytest.raises(ValueError, match=message):
        scorer.score_run(run)


def test_a_metric_of_labels_needs_a_conditional_run(config, run):
    config.model.generator.condition = "none"
    scorer = make_scorer(config, metrics="nearest_neighbour_error", num_images=100)
    with pytest.raises(ValueError, match="the run is unconditional"):
        scorer.score_run(run._replace(config=config))


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((30, 8, 8, 1), np.uint8), r"\(30, 8, 8, 1\) uint8, but the real"),
        (np.zeros((30, 16, 16, 1), np.float32), "float32, but the real ones are"),
        (np.zeros((19, 16, 16, 1), np.uint8), "19 images to score, but 20 were asked"),
    ],
)
def test_images_that_do_not_fit_are_refused(config, images, message):
    with pytest.raises(ValueError, match=message):
        make_scorer(config).score_images(images, None)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.zeros(29, int), r"30 images to score and labels \(29,\) int64, but labels"),
        (np.zeros(30), r"labels \(30,\) float64, but labels must be \(30,\) integers"),
        (np.full(30, 99), "labels .* go from 99 to 99, .* have the classes 0 to 2"),
        (np.full(30, -1), "labels .* go from -1 to -1, .* have the classes 0 to 2"),
    ],
)
def test_labels_that_are_not_the_images_are_refused(config, labels, message):
    images = np.zeros((30, 16, 16, 1), np.uint8)
    with pytest.raises(ValueError, match=message):
        make_scorer(config).score_images(images, labels)


def test_a_generator_that_draws_infinities_is_refused(config, run):
    import jax

    broken = jax.tree.map(lambda x: np.full_like(x, np.nan), run.variables)
    with pytest.raises(ValueError, match="step 4 draws values that are not finite"):
        make_scorer(config).score_run(run._replace(variables=broken))


def test_the_table_has_a_row_a_number_and_says_what_is_absent():
    columns = {
        "a": scores.Scores({"x": Estimate(1.23456, 0.012)}, None, {}, 0.0),
        "b": scores.Scores(
            {"x": Estimate(2.0, None), "y": Estimate(3, 1)}, None, {}, 0
        ),
    }
    table = scores.format_table(columns)
    assert [line.split() for line in table.splitlines()] == [
        ["a", "b"],
        ["x", "1.235", "+-", "0.012", "2"],
        ["y", "-", "3", "+-", "1"],
    ]


def test_discriminator_features_have_the_statistics_of_the_training_images(
    config, run, monkeypatch
):
    seen = []
    real = probe.with_real_statistics

    def measure(discriminator, variables, images):
        seen.append(images)
        return real(discriminator, variables, images)

    monkeypatch.setattr(probe, "with_real_statistics", measure)
    metric = suite.Metric(
        lambda sets: [sets.discriminate(sets.training).sum()], {"a": 0}
    )
    monkeypatch.setitem(suite.METRICS, "linear_probe", metric)
    scorer = make_scorer(config, metrics="linear_probe", draws=2)
    found = scorer.score_run(run).numbers["a"]
    images = scorer.training.images
    (measured,) = seen  # once for both draws
    assert sorted(x.tobytes() for x in measured) == sorted(x.tobytes() for x in images)
    variables = real(run.discriminator, run.discriminator_variables, measured)
    features = probe.discriminator_features(run.discriminator, variables, images)
    np.testing.assert_allclose(found.value, features.sum(), rtol=1e-4)
    running = probe.discriminator_features(
        run.discriminator, run.discriminator_variables, images
    )
    assert abs(running.sum() / features.sum() - 1) > 1e-2
