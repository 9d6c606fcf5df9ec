"""How good content becomes hostile: edited bytes, changed trees and junk values.

A strategy of this package starts from a good file, claims something else in it, and
edits its bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
import functools
from typing import Any

from hypothesis import strategies as st

Files = Mapping[str, bytes]  # contents by their paths in a folder
MODULE = "hostile_part"  # a module that no reader may import
NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**15, 2**17, 2**31, 2**63, 10**30, 10**400, -(10**20)]),
    st.floats(),
)
JUNK = st.one_of(
    *(NUMBERS, NUMBERS, st.none(), st.booleans(), st.text(max_size=8)),
    st.sampled_from(
        [f"{MODULE}:pair", "\ud800", "a\nb", "\0", "../up", "{x}", "{", "%s"]
    ),
    st.recursive(
        st.integers(0, 3),
        lambda part: st.one_of(
            st.lists(part, max_size=3),
            st.dictionaries(st.text(max_size=4), part, max_size=3),
        ),
        max_leaves=5,
    ),
)


def edited(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with up to eight edits, most of them near the ends."""
    last = max(0, len(whole) - 1)
    place = st.one_of(
        st.integers(0, min(200, last)),
        st.integers(max(0, last - 100), last),
        st.integers(0, last),
    )
    sizes = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    packed = [
        size.to_bytes(width, order)
        for size in sizes
        for width in (2, 4, 8)
        for order in ("little", "big")
        if size < 2 ** (8 * width)
    ]
    new = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(packed))
    edit = st.one_of(
        st.tuples(st.just("put"), place, new),
        st.tuples(st.just("insert"), place, new),
        st.tuples(st.just("copy"), place, st.tuples(place, place)),
        st.tuples(st.just("cut"), place, place),
        st.tuples(st.just("end"), place, st.none()),
    )
    edits = st.one_of(edit.map(lambda one: [one]), st.lists(edit, max_size=8))
    return edits.map(functools.partial(applied, whole))


def applied(whole: bytes, edits: Sequence[tuple[str, int, Any]]) -> bytes:
    """The bytes after these edits, which are made one after the other.

    Args:
      whole: the bytes before the edits.
      edits: for each its kind, its place and what it needs, which is new bytes for
        "put" and "insert", two places for "copy", another place for "cut" and nothing
        for "end".
    """
    for kind, at, what in edits:
        head, tail = whole[:at], whole[at:]
        if kind == "put":
            whole = head + what + tail[len(what) :]
        elif kind == "insert":
            whole = head + what + tail
        elif kind == "copy":
            whole = head + whole[min(what) : max(what)] + tail
        elif kind == "cut":
            whole = whole[: min(at, what)] + whole[max(at, what) :]
        else:
            whole = head
    return whole


def perhaps_edited(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes as they are, or edited."""
    return st.one_of(st.just(whole), edited(whole))


def changed(tree: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """The tree with up to three other values, and perhaps with other names."""
    paths = st.sampled_from(list(_places(tree)))
    named = st.builds(lambda path, name: (*path[:-1], name), paths, st.text(max_size=5))
    change = st.tuples(st.one_of(paths, paths, paths, named), JUNK)

    def apply(changes: Sequence[tuple[Any, Any]]) -> Any:
        return functools.reduce(lambda whole, one: _with(whole, *one), changes, tree)

    return st.lists(change, min_size=1, max_size=3).map(apply)


def _places(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Any]:
    for name, value in tree.items():
        yield (*path, name)
        if isinstance(value, Mapping):
            yield from _places(value, (*path, name))


def _with(tree: Any, path: Sequence[str], value: Any) -> Any:
    if not path or not isinstance(tree, dict):
        return value
    return {**tree, path[0]: _with(tree.get(path[0]), path[1:], value)}
