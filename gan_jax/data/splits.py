"""Names of splits in TFDS's syntax, such as "train[:50000]" or "train[50%:]+test"."""

import re
from typing import NamedTuple

# The part of a split that stands in brackets: [:1000], [10%:20%] or [-500:].
_PART = re.compile(r"\[(-?\d*)(%?):(-?\d*)(%?)\]")


def check(split: str) -> None:
    """Refuses a split with a part that ends before it starts.

    Raises:
      ValueError: a part is empty.
    """
    for part in _PART.finditer(split):
        first, first_unit, last, last_unit = part.groups()
        try:
            numbers = int(first), int(last)
        except ValueError:
            continue  # The part is open at an end, or TFDS will refuse its syntax.
        both_from_one_end = (numbers[0] < 0) == (numbers[1] < 0)
        if first_unit == last_unit and both_from_one_end and numbers[0] >= numbers[1]:
            raise ValueError(
                f"config.data.split is {split!r}, whose part {part[0]} has 0 images. A"
                " part ends after it starts, as in 'train[:1000]'. Set"
                " --config.data.split to such a part."
            )


def names(split: str) -> set[str]:
    """The names of the splits of which it has parts: {"train"} for "train[:9]"."""
    return {part.partition("[")[0].strip() for part in split.split("+")}


def whole(split: str) -> str:
    """The split of which this is one part: "train" for "train[:1000]".

    It is an empty text if the split has several parts or another syntax.
    """
    found = re.fullmatch(r"(\w+)(\[.*\])?", split)
    return found[1] if found else ""


def rest(split: str) -> str:
    """The part of the split "train" that a slice of it leaves out, or an empty text.

    "train[:50000]" leaves "train[50000:]" out. Only slices with one end are understood.
    """
    found = re.fullmatch(r"train\[(?:(\d+%?):|:(\d+%?))\]", split)
    if not found:
        return ""
    start, end = found.groups()
    return f"train[{end}:]" if end else f"train[:{start}]"


def overlap(one: str, other: str) -> bool:
    """Whether two splits can have images in common, as far as their names tell.

    "train[:50000]" and "train[50000:]" have none. Parts that are not counted alike, in
    images or in percent, or from the split's start or its end, are taken to have some.
    """
    return one == other or any(
        _parts_overlap(part, another)
        for part in one.split("+")
        for another in other.split("+")
    )


def _parts_overlap(one: str, other: str) -> bool:
    found = [re.fullmatch(r"(\w+)(?:\[(.*):(.*)\])?", text) for text in (one, other)]
    if None in found:  # another syntax, which is not understood here
        return True
    (name, *bounds), (other_name, *other_bounds) = (
        match.groups("") for match in found if match
    )
    if name != other_name:
        return "all" in (name, other_name)
    given = [bound for bound in (*bounds, *other_bounds) if bound]
    shares = [re.fullmatch(r"-?\d+(%?)", bound) for bound in given]
    if not all(shares) or len({match[1] for match in shares if match}) > 1:
        return True
    start, end = _place(bounds[0], last=False), _place(bounds[1], last=True)
    other_start = _place(other_bounds[0], last=False)
    other_end = _place(other_bounds[1], last=True)
    return not (_is_before(end, other_start) or _is_before(other_end, start))


class _Place(NamedTuple):
    """A bound of a slice: `number` images or percent after the split's start or end."""

    is_from_end: bool
    number: int


def _place(bound: str, *, last: bool) -> _Place:
    number = int(bound.rstrip("%") or 0)
    return _Place(number < 0 if bound else last, number)


def _is_before(end: _Place, start: _Place) -> bool:
    """Whether a slice surely ends before another starts, whatever the split's size."""
    return end.is_from_end == start.is_from_end and end.number <= start.number
