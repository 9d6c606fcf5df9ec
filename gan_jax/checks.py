"""Ranges of config values, and the error that names a value outside its range."""

from collections.abc import Callable, Collection, Iterable, Mapping
import difflib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

MOST = 2**31 - 1  # largest count: steps and batch indices are int32 on the device
LARGEST = 3.4e38  # float32 has no larger finite number
SEEDS = 2**32 - 1  # jax.random.key drops the bits above the lowest 32
WIDEST = 2**17  # largest size of a layer or a vector: beyond any network
ADVICE = "set --config.{field}"  # what to do about a field, if nothing else is said


class Range(NamedTuple):
    """The values that a field may have.

    Attributes:
      words: the allowed values, as they follow "must be", such as "at least 1".
      holds: says whether a value of the right type is allowed.
      types: types that a value may have.
      type_words: the allowed values, in words for a value of another type.
      names: all allowed names, which a refusal lists instead of the words; empty where
        the values are not names.
      last: words that follow the names, such as what else is allowed.
    """

    words: str
    holds: Callable[[Any], bool]
    types: tuple[type, ...]
    type_words: str
    names: Collection[str] = ()
    last: str = ""


def integer(least: int, most: int, note: str = "") -> Range:
    """Whole numbers from `least` to `most`; `note` is appended to the words."""
    return Range(
        f"at least {least} and at most {most:,}{note}",
        lambda value: least <= value <= most,
        (int,),
        "a whole number",
    )


def number(
    words: str, *, least: float = 0.0, most: float = LARGEST, above: bool = False
) -> Range:
    """Finite numbers, integers included, since a config may say 1 for 1.0.

    Args:
      words: the allowed numbers in words.
      least: smallest allowed number.
      most: largest allowed number.
      above: excludes `least` itself.
    """
    return Range(
        words,
        lambda value: least <= value <= most and not (above and value == least),
        (int, float),
        "a number",
    )


def share(note: str = "") -> Range:
    """Numbers in [0, 1) that float32 does not round to 1; `note` ends the words."""
    words = "in [0, 1), 0.9999999 at most" + (f", {note}" if note else "")
    return number(words, most=0.9999999)


NOT_NEGATIVE = number("at least 0 and finite")
POSITIVE = number("at least 1e-30 and finite", least=1e-30)  # float32 has no 1e-50
FLAG = Range("True or False", lambda value: True, (bool,), "True or False")
TEXT = Range(
    "text without a null character", lambda value: "\0" not in value, (str,), "text"
)

LOCAL = Range(
    "text without a null character: a path on a disk of this machine, no address such "
    "as gs://BUCKET",
    lambda value: "\0" not in value and "://" not in value,
    (str,),
    "text",
)


def one_of(names: Collection[str]) -> Range:
    """The range that consists of these names.

    The names are read at each check, so a name that is added to a table is allowed.
    """
    return Range("a known name", names.__contains__, (str,), "a known name", names)


def each(single: Range, most: int = 32) -> Range:
    """Lists of 1 to `most` values, each of them in the range `single`."""
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


def check(field: str, value: Any, allowed: Range, *, advice: str = ADVICE) -> None:
    """Refuses a value outside its range.

    Args:
      field: the field's path in the config, such as recipe.packing.
      value: the field's value.
      allowed: range of the allowed values.
      advice: what the user should do; {field} stands for the field's path.

    Raises:
      ValueError: the value is outside the range.
    """
    if is_in(value, allowed):
        return
    has_type = _has_type(value, allowed)
    words = allowed.words if has_type else allowed.type_words
    if allowed.names:
        words = f"one of {', '.join(allowed.names)}"
    if has_type and allowed.names:
        words += nearest(value, allowed.names)
    words += allowed.last
    raise ValueError(
        f"{field} is {value!r}, but must be {words}: {advice.format(field=field)}."
    )


def section(config: ConfigDict, path: str) -> ConfigDict:
    """A section of a config.

    Raises:
      ValueError: the config has no section of that name.
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
    advice: str = ADVICE,
) -> None:
    """Refuses a section in which a field is missing or outside its range.

    Args:
      section: section of a config; fields without a range are not checked.
      ranges: allowed range of each field, by the field's name.
      path: path of the section, such as "recipe"; "" for the config itself.
      advice: what the user should do, as in `check`.

    Raises:
      ValueError: a field is missing or outside its range; the first is named.
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
