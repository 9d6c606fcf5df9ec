"""How a mistake is refused: what may be, and the one sentence that says so."""

from collections.abc import Callable, Iterable, Mapping
import difflib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

MOST = 2**31 - 1  # of a count: steps and places in a batch are int32 on the device
LARGEST = 3.4e38  # float32 has nothing above
SEEDS = 2**32 - 1  # jax.random.key drops the bits above the lowest 32
WIDEST = 2**17  # of a layer or a vector: beyond any network


class Range(NamedTuple):
    """The values that a field may have.

    Attributes:
      words: what they are, as in "must be at least 1".
      holds: whether a value of the right type is one of them.
      types: of the values.
      type_words: what a value of another type is answered with.
      names: where the values are names, all of them.
    """

    words: str
    holds: Callable[[Any], bool]
    types: tuple[type, ...]
    type_words: str
    names: tuple[str, ...] = ()


def integer(least: int, most: int, note: str = "") -> Range:
    """Whole numbers from `least` to `most`; the note ends the words."""
    return Range(
        f"at least {least} and at most {most:,}{note}",
        lambda value: least <= value <= most,
        (int,),
        "a whole number",
    )


def number(
    words: str, *, least: float = 0.0, most: float = LARGEST, above: bool = False
) -> Range:
    """Finite numbers; whole ones too, since a config may say 1 for 1.0.

    Args:
      words: what they are.
      least: the smallest.
      most: the largest.
      above: `least` itself is none of them.
    """
    return Range(
        words,
        lambda value: least <= value <= most and not (above and value == least),
        (int, float),
        "a number",
    )


def share(note: str = "") -> Range:
    """Numbers in [0, 1) that float32 does not round to 1; the note ends the words."""
    words = "in [0, 1), 0.9999999 at most" + (f", {note}" if note else "")
    return number(words, most=0.9999999)


NOT_NEGATIVE = number("at least 0 and finite")
POSITIVE = number("at least 1e-30 and finite", least=1e-30)  # float32 has no 1e-50
FLAG = Range("True or False", lambda value: True, (bool,), "True or False")
TEXT = Range(
    "text without a null character", lambda value: "\0" not in value, (str,), "text"
)


def one_of(names: Iterable[str]) -> Range:
    """One of several names."""
    known = tuple(names)
    words = f"one of {', '.join(known)}"
    return Range(words, known.__contains__, (str,), words, known)


def each(single: Range, most: int = 32) -> Range:
    """At least one and at most so many values, each in a range."""
    words = f"1 to {most} numbers in brackets, each {single.words}"
    return Range(
        words,
        lambda values: (
            1 <= len(values) <= most and all(is_in(value, single) for value in values)
        ),
        (tuple, list),
        words,
    )


def _has_type(value: Any, allowed: Range) -> bool:
    if isinstance(value, bool):  # which Python counts as an int
        return bool in allowed.types
    return isinstance(value, allowed.types)


def is_in(value: Any, allowed: Range) -> bool:
    """Whether a value is in a range."""
    return _has_type(value, allowed) and bool(allowed.holds(value))


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` with the known name most like this one, or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check(
    field: str, value: Any, allowed: Range, *, advice: str = "set --config.{field}"
) -> None:
    """Refuses a value outside its range.

    Args:
      field: the field's path in the config, such as recipe.packing.
      value: what it is.
      allowed: what it may be.
      advice: what to do, with {field} for the field.

    Raises:
      ValueError: says what the value is, what it may be and what to do.
    """
    if is_in(value, allowed):
        return
    words = allowed.words
    if not _has_type(value, allowed):
        words = allowed.type_words
    elif allowed.names:
        words += nearest(value, allowed.names)
    raise ValueError(
        f"{field} is {value!r}, but must be {words}: {advice.format(field=field)}."
    )


def section(config: ConfigDict, path: str) -> ConfigDict:
    """A section of a config.

    Raises:
      ValueError: there is none of that name.
    """
    found = config.get(path)
    if not isinstance(found, ConfigDict):
        raise ValueError(
            f"the config has no section {path}, but must have every section of "
            "configs/default.py: add it to the config file or to the run's config.json."
        )
    return found


def check_fields(
    section: ConfigDict,
    ranges: Mapping[str, Range],
    *,
    path: str = "",
    advice: str = "set --config.{field}",
) -> None:
    """Refuses a section in which a field is missing or outside its range.

    Args:
      section: of a config; its other fields are not looked at.
      ranges: by the names of fields.
      path: the section's own, such as "recipe"; "" for the config itself.
      advice: as in `check`.

    Raises:
      ValueError: names the first such field.
    """
    for name, allowed in ranges.items():
        field = f"{path}.{name}" if path else name
        if name not in section:
            raise ValueError(
                f"the config has no field {field}, but must have every field of "
                "configs/default.py: add it to the config file or to the run's "
                "config.json."
            )
        check(field, section[name], allowed, advice=advice)
