"""Folders of a run whose config, lines or checkpoint are not as they were."""

import collections
import functools
import hashlib
import json
from pathlib import Path

from hypothesis import strategies as st

from experiments.faults.hostile import edits


def changed(run: Path) -> st.SearchStrategy[edits.Files]:
    """Folders of a run, each with one or two files that are not as they were.

    Args:
      run: folder of a good run, whose checkpoint is folder "checkpoints/4".
    """
    whole = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }
    config = json.loads(whole["config.json"])
    as_bytes = functools.partial(json.dumps, ensure_ascii=True)
    lines = sorted(name for name in whole if name.endswith(".jsonl"))
    inside = sorted(name for name in whole if name.startswith("checkpoints/4/"))
    one = st.one_of(
        edits.changed(config).map(lambda x: {"config.json": as_bytes(x).encode()}),
        edits.edited(whole["config.json"]).map(lambda x: {"config.json": x}),
        *(_lines(whole[name]).map(functools.partial(_named, name)) for name in lines),
        st.sampled_from(inside).flatmap(
            lambda name: edits.edited(whole[name]).map(functools.partial(_named, name))
        ),
        st.sampled_from([name for name in inside if _is_json(whole[name])]).flatmap(
            lambda name: edits.changed(json.loads(whole[name])).map(
                lambda x: {name: as_bytes(x).encode()}
            )
        ),
    )
    several = st.lists(one, min_size=1, max_size=2)
    return several.map(
        lambda others: _with_sums({**whole, **collections.ChainMap(*others)})
    )


def _named(name: str, content: bytes) -> edits.Files:
    return {name: content}


def _is_json(content: bytes) -> bool:
    try:
        return bool(json.loads(content)) and isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _lines(whole: bytes) -> st.SearchStrategy[bytes]:
    records = [json.loads(line) for line in whole.splitlines()]
    line = st.one_of(
        st.sampled_from(records)
        .flatmap(edits.changed)
        .map(lambda x: json.dumps(x).encode()),
        st.sampled_from(
            [b"[" * 5000, b"{}", b"\xff\xfe", b"1" * 5000, b'{"step": 1e9}']
        ),
        st.sampled_from(
            [b'{"step": 1, "d_loss": 1%s}' % (b"0" * 400), b"\0", b'"\\ud800"']
        ),
        st.binary(max_size=20),
    )
    several = st.lists(line, max_size=4).map(lambda x: b"\n".join([whole, *x]))
    return st.one_of(several, edits.edited(whole))


def _with_sums(files: edits.Files) -> edits.Files:
    """The files with the sums that a forger would write."""
    folder = "checkpoints/4/"
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name.removeprefix(folder)}\n"
        for name, content in files.items()
        if name.startswith(folder) and not name.endswith("SHA256SUMS")
    )
    return {**files, f"{folder}SHA256SUMS": sums.encode()}
