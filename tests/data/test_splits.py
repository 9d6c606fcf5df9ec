import pytest

from gan_jax.data import splits


@pytest.mark.parametrize(
    "split, whole",
    [
        ("train", "train"),
        ("train[:9]", "train"),
        ("test[10%:]", "test"),
        ("train+test", ""),
        ("train[:9]+test", ""),
    ],
)
def test_a_part_belongs_to_a_whole_split(split, whole):
    assert splits.whole(split) == whole


@pytest.mark.parametrize(
    "split, names",
    [
        ("train", {"train"}),
        ("train[:9]+test[10%:]", {"train", "test"}),
        ("train[:1%](closest)", {"train"}),
    ],
)
def test_a_split_names_those_whose_parts_it_has(split, names):
    assert splits.names(split) == names


@pytest.mark.parametrize(
    "split, left_out",
    [
        ("train", ""),
        ("train[:50000]", "train[50000:]"),
        ("train[10%:]", "train[:10%]"),
        ("train[7:9]", ""),
        ("test[:9]", ""),
    ],
)
def test_a_slice_leaves_the_rest_out(split, left_out):
    assert splits.rest(split) == left_out


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("train", "test", False),
        ("train", "train", True),
        ("train+test", "test", True),
        ("train[:50000]", "train[50000:]", False),
        ("train[:50000]", "train[49999:]", True),
        ("train[:50000]+test", "test[:10]", True),
        ("train", "train[5:]", True),
        ("train[:-100]", "train[-100:]", False),
        ("train[:-100]", "train[-200:]", True),
        ("train[:50000]", "train[-20000:]", True),  # 10,000 of MNIST's 60,000
        ("train[:90%]", "train[-20%:]", True),
        ("train[-20:-10]", "train[-10:]", False),
        ("train[10%:20%]", "train[20%:]", False),
        ("train[10%:21%]", "train[20%:]", True),
        ("train[:50%]", "train[50000:]", True),  # not told apart
        ("all", "test", True),
        ("train[x]", "train[y]", True),
    ],
)
def test_splits_with_common_images_overlap(one, other, expected):
    assert splits.overlap(one, other) == splits.overlap(other, one) == expected
