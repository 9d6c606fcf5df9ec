"""How labels enter the networks, each mechanism against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import conditional, dcgan, keras_dcgan, mlp, normalization
from tests.models.support import LATENTS, SIZE, apply, fill, pair

LABELS = jnp.array([0, 2, 1, 2])
OTHER_LABELS = jnp.array([1, 1, 2, 0])
CODES = ("none", "onehot", "embedding")
IMAGES = jax.random.uniform(jax.random.key(2), (4, SIZE, SIZE, 1), minval=-1)
BATCH = {
    "latents": jax.random.normal(jax.random.key(1), (4, LATENTS)),
    "images": IMAGES,
}
MECHANISMS = [
    *((dcgan, 0, condition) for condition in (*CODES, "batch_norm")),
    *((dcgan, 1, condition) for condition in (*CODES, "projection")),
    *((keras_dcgan, index, condition) for condition in CODES for index in (0, 1)),
    *((mlp, index, condition) for condition in CODES for index in (0, 1)),
]


@pytest.mark.parametrize("family, index, condition", MECHANISMS)
def test_labels_change_the_output_of_conditional_networks_only(
    family, index, condition
):
    module = pair(family)[index].clone(condition=condition, num_classes=3)
    inputs = BATCH["images" if index else "latents"]
    variables = fill(module, inputs)
    outputs = apply(module, variables, inputs, LABELS)
    others = apply(module, variables, inputs, OTHER_LABELS)
    changed = np.abs(outputs - others).reshape(4, -1).max(axis=1) > 0
    np.testing.assert_array_equal(changed, condition != "none")


@pytest.mark.parametrize(
    "family, index, condition", [case for case in MECHANISMS if case[2] != "none"]
)
def test_conditional_networks_ask_for_labels(family, index, condition):
    module = pair(family)[index].clone(condition=condition)
    inputs = BATCH["images" if index else "latents"]
    with pytest.raises(ValueError, match=f"condition '{condition}'.*without labels"):
        jax.eval_shape(lambda: module.init(jax.random.key(0), inputs, train=True))


def discriminate(condition, **options):
    """A small conditional discriminator and its variables."""
    options = {"num_classes": 3, "condition": condition} | options
    module = pair(dcgan)[1].clone(**options)
    return module, fill(module, IMAGES)


def test_projection_adds_the_inner_product_of_features_and_the_labels_row():
    # psi(phi) is the inner product of phi and to_logit's kernel w, so with rows
    # V = (0, w, -3 w) the logits are (1, 2, -2) psi for the labels 0, 1, 2.
    module, variables = discriminate("projection")
    params = variables["params"]
    kernel = params["to_logit"]["kernel"].reshape(-1)
    rows = jnp.stack([0 * kernel, kernel, -3 * kernel])
    variables = variables | {
        "params": params | {"project": {"embed": {"embedding": rows}}}
    }
    plain = apply(module, variables, IMAGES, jnp.zeros(4, jnp.int32))
    logits = apply(module, variables, IMAGES, jnp.array([0, 1, 2, 2]))
    expected = np.array([1, 2, -2, -2]) * plain
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-7)


def test_projections_unconditional_term_is_the_unconditional_logit():
    module, variables = discriminate("projection")
    params = dict(variables["params"])
    params["project"] = jax.tree.map(jnp.zeros_like, params["project"])
    logits = apply(module, variables | {"params": params}, IMAGES, LABELS)
    del params["project"]
    plain = apply(
        module.clone(condition="none"), variables | {"params": params}, IMAGES
    )
    np.testing.assert_allclose(logits, plain, rtol=1e-6, atol=0)


def test_auxiliary_classifier_sows_its_weighted_cross_entropy():
    # The same features go through to_logit, so its logits under the kernel of class k
    # are the class logits k.
    module, variables = discriminate("auxiliary", auxiliary_weight=0.3)
    params = variables["params"]
    kernel = params["to_class"]["kernel"]
    variables = {"params": params, "batch_stats": variables["batch_stats"]}
    class_logits = [
        apply(
            module,
            variables
            | {"params": params | {"to_logit": {"kernel": kernel[..., k : k + 1]}}},
            IMAGES,
            LABELS,
        )
        for k in range(3)
    ]
    z = np.stack(class_logits, axis=1).astype(np.float64)
    log_softmax = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    expected = -0.3 * log_softmax[np.arange(4), LABELS].mean()
    logits, sown = apply(module, variables, IMAGES, LABELS, mutable=["losses"])
    (loss,) = sown["losses"]["class"]
    assert loss.dtype == jnp.float32 and loss.shape == ()
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=0)
    np.testing.assert_array_equal(
        logits, apply(module, variables, IMAGES, OTHER_LABELS)
    )


@pytest.mark.parametrize("average", [True, False])
def test_conditional_batch_norm_of_equal_classes_is_batch_norm(average):
    x = jax.random.normal(jax.random.key(3), (4, 5, 5, 6)) + 1
    keys = jax.random.split(jax.random.key(4), 4)
    scale, bias, mean, var = (jax.random.uniform(key, (6,)) for key in keys)
    stats = {"mean": mean, "var": var}
    params = {"scale": scale, "bias": bias}
    norm = normalization.batch_norm(use_running_average=average)
    expected, _ = norm.apply(
        {"params": params, "batch_stats": stats}, x, mutable=["batch_stats"]
    )
    params = jax.tree.map(lambda p: jnp.stack([p, p, p]), params)
    module = conditional.ConditionalBatchNorm(3, use_running_average=average)
    outputs, _ = module.apply(
        {"params": params, "batch_stats": {"norm": stats}},
        x,
        LABELS,
        mutable=["batch_stats"],
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_conditional_batch_norm_scales_and_shifts_by_class():
    # Running mean 0 and variance 1 - epsilon: x times scale plus offset of the class.
    x = jax.random.normal(jax.random.key(3), (4, 2, 2, 2))
    params = {"scale": jnp.array([[1.0, 2], [3, 4], [5, 6]])}
    params["bias"] = params["scale"] + 10
    stats = {"norm": {"mean": jnp.zeros(2), "var": jnp.full(2, 1 - 1e-5)}}
    module = conditional.ConditionalBatchNorm(3, use_running_average=True)
    outputs = module.apply({"params": params, "batch_stats": stats}, x, LABELS)
    for image, label, output in zip(np.asarray(x), LABELS, outputs, strict=True):
        scale = np.array([[1.0, 2], [3, 4], [5, 6]])[label]
        np.testing.assert_allclose(output, image * scale + scale + 10, rtol=1e-5)


def test_label_vector_appends_one_hot_codes():
    outputs = conditional.LabelVector("onehot", 3).apply({}, jnp.ones((4, 2)), LABELS)
    expected = [[1, 1, 1, 0, 0], [1, 1, 0, 0, 1], [1, 1, 0, 1, 0], [1, 1, 0, 0, 1]]
    np.testing.assert_array_equal(outputs, expected)


def test_label_channel_is_the_classs_own_image_after_the_others():
    module = conditional.LabelChannel("onehot", 3)
    kernel = jnp.arange(3.0 * SIZE**2).reshape(3, -1)
    variables = {
        "params": {"to_channel": {"kernel": kernel, "bias": jnp.zeros(SIZE**2)}}
    }
    outputs = module.apply(variables, IMAGES, LABELS)
    np.testing.assert_array_equal(outputs[..., :1], IMAGES)
    np.testing.assert_allclose(
        outputs[..., 1], kernel.reshape(3, SIZE, SIZE)[LABELS], 1e-6
    )
