"""The tables of a page: a summary of the runs, and their scores by protocol."""

from collections.abc import Mapping, Sequence
import statistics
from typing import Any, NamedTuple

import tqdm

from gan_jax.evaluation import suite
from gan_jax.page.history import History
from gan_jax.run import files

AIMS = {1: "more is better", -1: "less is better", 0: "best as for real images"}


class Table(NamedTuple):
    """A table of text.

    Attributes:
      title: heading of the table; may be empty.
      columns: headings of the columns after the first.
      rows: name and cells of each row.
      notes: lines of small print.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    notes: Sequence[tuple[str, str]] = ()


def summary(runs: Sequence[History]) -> Table:
    """What each run is, how far it came and its last numbers."""
    columns = [_summarise(run) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [column.get(name, "-") for column in columns]) for name in names]
    return Table("", [run.name for run in runs], rows)


def _summarise(run: History) -> dict[str, str]:
    fields, last = run.fields(), run.metrics[-1]
    step, planned = last["step"], fields.get("num_train_steps")
    done = f"{step:,} of {_count(planned)} steps"
    facts = {"state": f"finished, {done}" if step == planned else done}
    if "seconds" in last:
        facts["training"] = tqdm.tqdm.format_interval(round(last["seconds"]))
    rates = [x["steps_per_second"] for x in run.metrics if "steps_per_second" in x]
    batch_size = fields.get("batch_size")
    if rates and files.is_number(batch_size):
        speed = statistics.median(rates) * batch_size
        facts["images a second, median"] = f"{speed:,.4g}"
    size = fields.get("data.image_size")
    shape = f"{size} x {size} x {fields.get('data.channels')}"
    facts["data"] = f"{fields.get('data.name')}, {shape}"
    facts["model"] = str(fields.get("model.name"))
    facts["labels"] = str(fields.get("model.generator.condition", "none"))
    names = {"loss of the discriminator": "d_loss", "loss of the generator": "g_loss"}
    names |= {"D(x)": "d_real"}
    facts |= {row: f"{last[name]:.4g}" for row, name in names.items() if name in last}
    fakes = [last[x] for x in ("d_fake_before", "d_fake_after") if x in last]
    if fakes:
        facts["D(G(z)), before and after"] = " / ".join(f"{x:.4g}" for x in fakes)
    return facts


def _count(value: Any) -> str:
    return f"{value:,}" if files.is_number(value) else str(value)


def scores(runs: Sequence[History]) -> list[Table]:
    """A table for each protocol, with the last scores of each run and generator."""
    found: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for run in runs:
        for record in run.scores:
            columns = found.setdefault(files.protocol_key(record["protocol"]), {})
            columns[run.name, record["generator"]] = record
    single = len(runs) == 1
    return [
        _score_table(columns, f"Protocol {number}" if len(found) > 1 else "", single)
        for number, columns in enumerate(found.values(), 1)
    ]


def _score_table(
    columns: Mapping[tuple[str, str], Mapping[str, Any]], title: str, single: bool
) -> Table:
    records = list(columns.values())
    headings = [
        f"{generator}, step {record['step']:,}"
        if single
        else f"{run}: {generator}, step {record['step']:,}"
        for (run, generator), record in columns.items()
    ]
    names = dict.fromkeys(name for record in records for name in record["numbers"])
    rows = [
        (
            f"{name}{_aim(name)}",
            [_estimate(record["numbers"].get(name)) for record in records],
        )
        for name in names
    ]
    return Table(title, headings, rows, _protocol(records))


def _protocol(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The values of the records' protocol, which may differ in their versions."""
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in _flat(record["protocol"]).items():
            values.setdefault(name, {})[value] = None
    return [(name, " and ".join(found)) for name, found in values.items()]


def _flat(protocol: Mapping[str, Any]) -> dict[str, str]:
    """The protocol's values as text; the versions are shown by name."""
    shown: dict[str, str] = {}
    for name, value in protocol.items():
        if isinstance(value, Mapping):
            shown |= {f"{name}: {key}": str(one) for key, one in value.items()}
        elif value not in ("", None):
            shown[name] = str(value)
    return shown


def _aim(name: str) -> str:
    try:
        return f" ({AIMS[suite.direction(name)]})"
    except ValueError:  # the number of another version
        return ""


def _estimate(number: Mapping[str, Any] | None) -> str:
    if number is None or not files.is_number(number["value"]):
        return "-"
    error = number.get("standard_error")
    spread = f" ± {error:.2g}" if files.is_number(error) else ""
    return f"{number['value']:.4g}{spread}"
