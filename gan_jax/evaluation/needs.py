"""What a metric may need, and whether a set of images and its run have it."""

from gan_jax.evaluation import sliced_wasserstein, ssim

FRECHET_FEATURES = 4_096  # more features would take minutes and gigabytes
_WINDOW = f"{ssim.WINDOW}x{ssim.WINDOW} pixels"
_PATCH = f"{sliced_wasserstein.PATCH}x{sliced_wasserstein.PATCH} pixels"

# Each need, with the reason for which the metric cannot be computed without it.
REASONS = {
    "few_features": f"it takes minutes with more than {FRECHET_FEATURES} features (set "
    "another extractor)",
    "held_out": "the real images are the training images (choose another split)",
    "probabilities": "the extractor knows no classes (set another extractor)",
    "labels": "the images have no requested labels (the run is unconditional)",
    "own_classes": "the extractor reads other classes than those of the data (set the "
    "extractor classifier with weights of gan_jax.train_classifier)",
    "several_classes": "the data have a single class",
    "two_of_each_class": "a class has fewer than two real or two generated images "
    "(raise --num_images)",
    "enough_labels": "there are too few training images of a class, or more classes "
    "than labelled images (train on a larger split)",
    "discriminator": "there is no discriminator of single images (the images are those "
    "of a file, or recipe.packing is above 1)",
    "images": "the data are points (set --metrics=modes)",
    "window": f"the images are smaller than its window of {_WINDOW}",
    "patch": f"the images are smaller than its patches of {_PATCH}",
    "stacked": "it counts the modes of stacked MNIST (set the extractor stacked_mnist)",
    "mixture": "the data are no mixture of Gaussians (config.data.name is not ring or "
    "grid)",
}


def available(
    extractor: str,
    shape: tuple[int, ...],
    *,
    num_features: int,
    num_read: int,
    num_classes: int,
    is_held_out: bool,
    has_labels: bool,
    has_discriminator: bool,
    is_mixture: bool,
    two_of_each_class: bool,
    enough_labels: bool,
) -> list[str]:
    """The keys of REASONS that are available.

    Args:
      extractor: the extractor's name.
      shape: shape (H, W, C) of the images.
      num_features: number of features.
      num_read: number of classes that the extractor knows.
      num_classes: number of the data's classes; 0 if it is not known yet.
      is_held_out: whether the run has not trained on the real images.
      has_labels: whether the generated images have labels.
      has_discriminator: whether there is a discriminator of single images.
      is_mixture: whether the data are points.
      two_of_each_class: whether each class has two real and two generated images.
      enough_labels: what suite.can_label says.
    """
    found = {
        "few_features": num_features <= FRECHET_FEATURES,
        "held_out": is_held_out,
        "probabilities": extractor != "pixels",
        "labels": has_labels,
        "own_classes": extractor != "inception" and num_classes in (0, num_read),
        "several_classes": num_classes != 1,
        "two_of_each_class": two_of_each_class,
        "enough_labels": enough_labels,
        "discriminator": has_discriminator,
        "images": not is_mixture,
        "window": min(shape[:2]) >= ssim.WINDOW,
        "patch": min(shape[:2]) >= sliced_wasserstein.PATCH,
        "stacked": extractor == "stacked_mnist",
        "mixture": is_mixture,
    }
    assert found.keys() == REASONS.keys()
    return [name for name, there in found.items() if there]
