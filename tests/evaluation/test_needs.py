"""Which metrics "cheap" and "all" stand for."""

import pytest

from gan_jax.evaluation import needs, suite

MNIST = {
    "num_features": 128,
    "num_read": 10,
    "num_classes": 10,
    "is_held_out": True,
    "has_labels": True,
    "has_discriminator": True,
    "is_mixture": False,
    "two_of_each_class": True,
    "enough_labels": True,
}


def select(extractor="mnist", shape=(28, 28, 1), metrics="all", **changes):
    there = needs.available(extractor, shape, **{**MNIST, **changes})
    return set(suite.select([metrics], available=there, num=10_000))


def test_a_conditional_run_on_digits_has_all_metrics_of_images():
    assert suite.METRICS.keys() - select() == {"modes", "stacked_modes"}


@pytest.mark.parametrize(
    "changes, missing",
    [
        ({"shape": (10, 28, 1)}, {"ms_ssim"}),
        ({"shape": (6, 6, 1)}, {"ms_ssim", "sliced_wasserstein"}),
        ({"num_read": 12}, {"label_accuracy"}),
        ({"num_classes": 0}, set()),
        ({"extractor": "inception"}, {"label_accuracy"}),
        ({"enough_labels": False}, {"label_efficiency"}),
        ({"two_of_each_class": False}, {"intra_class_frechet_distance"}),
        ({"has_discriminator": False}, {"linear_probe", "label_efficiency"}),
        (
            {"is_held_out": False},  # else a probe would be tested on what it learned
            {"memorisation", "linear_probe", "label_efficiency"},
        ),
        (
            {"num_classes": 1, "num_read": 1, "has_labels": False},
            {
                "label_accuracy",
                "intra_class_frechet_distance",
                "nearest_neighbour_error",
                "classification_accuracy_score",
                "linear_probe",
                "label_efficiency",
            },
        ),
    ],
)
def test_what_cannot_be_computed_is_left_out(changes, missing):
    assert select() - select(**changes) == missing


def test_metrics_that_take_more_images_are_left_out():
    there = needs.available("mnist", (28, 28, 1), **MNIST)
    few = suite.select(["cheap"], available=there, num=20)
    assert set(few) == {
        *("frechet_distance", "kernel_distance", "prdc"),
        *("ms_ssim", "sliced_wasserstein"),
    }


def test_a_metric_asked_for_by_name_is_refused_with_the_reason():
    there = needs.available("inception", (28, 28, 1), **MNIST)
    with pytest.raises(
        ValueError, match="label_accuracy cannot be computed: the extra"
    ):
        suite.select(["label_accuracy"], available=there, num=10_000)
