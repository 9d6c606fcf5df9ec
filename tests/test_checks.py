"""How mistakes are refused, and that every field of a config has a range."""

from ml_collections import ConfigDict
import pytest

from configs import default
from gan_jax import checks, models
from gan_jax.training import preflight

OWN = ("generator", "discriminator")  # sections whose fields follow from a name


@pytest.mark.parametrize("path", preflight.SECTIONS)
def test_every_field_of_the_default_config_has_a_range(path):
    section = default.get_config()[path] if path else default.get_config()
    fields = {
        name
        for name, value in section.items()
        if not isinstance(value, ConfigDict) and name not in OWN
    }
    assert fields == set(preflight.SECTIONS[path])


def test_every_section_has_ranges():
    config = default.get_config()
    sections = {name for name in config if isinstance(config[name], ConfigDict)}
    assert sections | {""} == set(preflight.SECTIONS)


@pytest.mark.parametrize("family", models.MODELS)
@pytest.mark.parametrize("network", ["Generator", "Discriminator"])
def test_every_attribute_of_a_network_has_a_range_that_holds_its_default(
    family, network
):
    module = getattr(models.MODELS[family], network)
    for name, allowed in models.attribute_ranges(module).items():
        assert checks.is_in(getattr(module, name), allowed), name


COUNT, SHARE = checks.integer(1, 1_000), checks.share("0 for none")
NAME, WIDTHS = checks.one_of(("hinge", "minimax")), checks.each(checks.integer(1, 9))
SMOOTH = checks.number("above 0.5 up to 1", least=0.5, most=1, above=True)


@pytest.mark.parametrize(
    "value, allowed",
    [
        *((1, COUNT), (1_000, COUNT), (0, SHARE), (0.0, SHARE), (0.999999, SHARE)),
        *((1, SMOOTH), (0.5000001, SMOOTH), ("hinge", NAME), (True, checks.FLAG)),
        *(((1, 9), WIDTHS), ([3], WIDTHS), ("", checks.TEXT)),
        *((0, checks.NOT_NEGATIVE), (1e30, checks.NOT_NEGATIVE)),
    ],
)
def test_values_in_their_range_pass(value, allowed):
    checks.check("field", value, allowed)


@pytest.mark.parametrize(
    "value, allowed, words",
    [
        (0, COUNT, "0, but must be at least 1 and at most 1,000: "),
        (1_001, COUNT, "1001, but must be at least 1 and at most 1,000: "),
        (1.0, COUNT, "1.0, but must be a whole number: "),
        (True, COUNT, "True, but must be a whole number: "),
        ("1", COUNT, "'1', but must be a whole number: "),
        (None, COUNT, "None, but must be a whole number: "),
        (1.0, SHARE, "1.0, but must be in [0, 1), 0.9999999 at most, 0 for none: "),
        (0.99999999, SHARE, "0.99999999, but must be in [0, 1), 0.9999999 at most"),
        (
            float("nan"),
            SHARE,
            "nan, but must be in [0, 1), 0.9999999 at most, 0 for none: ",
        ),
        (0.5, SMOOTH, "0.5, but must be above 0.5 up to 1: "),
        (float("inf"), checks.NOT_NEGATIVE, "inf, but must be at least 0 and finite: "),
        (1e39, checks.NOT_NEGATIVE, "1e+39, but must be at least 0 and finite: "),
        ("1.0", SHARE, "'1.0', but must be a number: "),
        ("hing", NAME, "but must be one of hinge, minimax (did you mean 'hinge'?): "),
        ("zzz", NAME, "'zzz', but must be one of hinge, minimax: "),
        (3, NAME, "3, but must be one of hinge, minimax: "),
        (1, checks.FLAG, "1, but must be True or False: "),
        ("a\0", checks.TEXT, "but must be text without a null character: "),
        (7, checks.TEXT, "7, but must be text: "),
        ((), WIDTHS, "(), but must be 1 to 32 numbers in brackets, each at "),
        ((1,) * 33, WIDTHS, "1), but must be 1 to 32 numbers in brackets, each at le"),
        ((1, 10), WIDTHS, "(1, 10), but must be 1 to 32 numbers in brackets"),
        (4, WIDTHS, "4, but must be 1 to 32 numbers in brackets, each at least 1 "),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_sentence(value, allowed, words):
    with pytest.raises(ValueError) as caught:
        checks.check("recipe.field", value, allowed)
    sentence = str(caught.value)
    assert sentence.startswith("recipe.field is ") and words in sentence
    assert sentence.endswith(": set --config.recipe.field.")


def test_a_missing_field_or_section_is_named():
    config = ConfigDict({"recipe": {"loss": "hinge"}, "data": 3})
    recipe = checks.section(config, "recipe")
    with pytest.raises(ValueError, match="no field recipe.packing, but must have"):
        checks.check_fields(recipe, {"packing": COUNT}, path="recipe")
    for path in ("data", "model"):
        with pytest.raises(ValueError, match=f"no section {path}, but must have every"):
            checks.section(config, path)
