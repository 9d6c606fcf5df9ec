"""Gives hostile files to every reader, in processes with little memory; prints a table.

    PYTHONPATH=. python experiments/faults/fuzz.py --folder=/dev/shm/fuzz --cases=2000

A process reads the cases of one target, which hypothesis draws from the seed. If it
dies or takes too long for a case, that case is counted and another process goes on. A
file that a reader neither accepted nor refused is kept in the folder. The folder should
lie in memory, since each case writes its files anew. It runs on Linux alone.
"""

import argparse
import collections
import json
from pathlib import Path
import resource
import shutil
import subprocess
import sys
import time
from typing import Any
import warnings

import hypothesis
import numpy as np

from configs import default
from experiments.faults.hostile import array_files, edits, judge, readers
from gan_jax.formats import weights
from gan_jax.run import reader
from gan_jax.training import train

LOG = "log.jsonl"
TOO_LONG = 1_000  # no status of a process
MEMORY = 2 * 2**30  # bytes that a process may take beside those before its first case
LONGEST = 60  # seconds of a case


def make_run(folder: Path) -> None:
    """Trains a small run for four steps, and exports its generator."""
    good = array_files.images_with_labels()
    four_times = {name: np.concatenate(4 * [array]) for name, array in good.items()}
    np.savez(folder / "images.npz", allow_pickle=False, **four_times)
    config = default.get_config()
    config.num_train_steps, config.batch_size = 4, 4
    config.log_every_steps = config.eval_every_steps = 2
    config.sample_every_steps = config.checkpoint_every_steps = 4
    config.steps_per_call, config.tensorboard = 2, False
    config.data.update(name="array", manual_dir=str(folder / "images.npz"))
    config.data.update(cache_dir=str(folder / "cache"), image_size=16, num_classes=3)
    config.evaluation.update(extractor="pixels", metrics="frechet_distance")
    config.evaluation.num_images, config.model.latent_size = 20, 5
    for network in (config.model.generator, config.model.discriminator):
        network.update(features=4, hidden_dense=8, condition="onehot")
    train.train_and_evaluate(config, folder / "good")
    (folder / "good.npz").write_bytes(weights.to_npz(reader.load(folder / "good")))


def memory(field: str) -> int:
    """A field of /proc/self/status in bytes, such as VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")


def read_cases(
    folder: Path, name: str, target: readers.Target, cases: int, seed: int
) -> None:
    """Reads the cases of a target, and writes a line before and after each."""
    place = folder / "case"
    before = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(target.files)
    def read_one(files: edits.Files) -> None:
        nonlocal before
        path = _write(files, place)
        if not before:  # the first case imports and compiles what others use
            judge.outcome(target.read, path, place)
            path = _write(files, place)
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            before = memory("VmRSS")
            limit = memory("VmSize") + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        _log(folder, {"name": name})
        start = time.monotonic()
        found = judge.outcome(target.read, path, place)
        seconds, peak = time.monotonic() - start, memory("VmHWM") - before
        if found not in ("accepted", "refused"):
            _keep(folder, name)
        _log(folder, {"found": found[:300], "peak": peak, "seconds": seconds})

    resource.setrlimit(resource.RLIMIT_AS, 2 * (resource.RLIM_INFINITY,))
    read_one()


def _write(files: edits.Files, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    return judge.write(files, place)


def _log(folder: Path, line: dict[str, Any]) -> None:
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _keep(folder: Path, name: str) -> None:
    kept = folder / "kept" / name
    kept.mkdir(parents=True, exist_ok=True)
    left_out = shutil.ignore_patterns("cache")
    number = len(list(kept.iterdir()))
    shutil.copytree(folder / "case", kept / str(number), ignore=left_out)


def start_child(folder: Path, left: dict[str, int], seed: int) -> int:
    """The status of a process that reads as many cases as are left of each target."""
    command = [sys.executable, __file__, f"--folder={folder}", f"--seed={seed}"]
    command += [f"--child={json.dumps(left)}"]
    with (folder / "child.log").open("a") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
    log = folder / LOG
    while child.poll() is None:
        time.sleep(0.5)
        is_reading = "name" in lines(log)[-1] if log.exists() else False
        if is_reading and time.time() - log.stat().st_mtime > LONGEST:
            child.kill()
            child.wait()
            return TOO_LONG
    return int(child.returncode)


def lines(log: Path) -> list[dict[str, Any]]:
    """The whole lines of the log."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def results(log: Path) -> dict[str, list[dict[str, Any]]]:
    """What was found in the cases of each target."""
    found: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    name = ""
    for line in lines(log):
        if "name" in line:
            name = line["name"]
        else:
            found[name].append(line)
    return found


def read_all(folder: Path, wanted: dict[str, int], seed: int) -> None:
    """Reads all cases; as many processes as it takes do it, one after the other."""
    while True:
        found = results(folder / LOG)
        left = {x: cases - len(found[x]) for x, cases in wanted.items()}
        left = {x: cases for x, cases in left.items() if cases > 0}
        if not left:
            return
        before = len(lines(folder / LOG))
        status = start_child(folder, left, seed)
        after = lines(folder / LOG)
        if status and len(after) == before:
            raise RuntimeError(f"nothing was read, see {folder}/child.log")
        if status and "name" in after[-1]:
            what = f"over {LONGEST} s" if status == TOO_LONG else f"died: {status}"
            _keep(folder, after[-1]["name"])
            _log(folder, {"found": what, "peak": 0, "seconds": 0})
        seed += 1


def row(name: str, found: list[dict[str, Any]]) -> str:
    """The row of a target in the table."""
    kinds = collections.Counter(line["found"].split(":")[0] for line in found)
    accepted, refused = kinds.pop("accepted", 0), kinds.pop("refused", 0)
    others = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
    peak = max(line["peak"] for line in found) / 1e6
    seconds = max(line["seconds"] for line in found)
    return (
        f"| {name} | {len(found):,} | {accepted:,} | {refused:,} | {others} | "
        f"{peak:,.0f} | {seconds:.1f} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=2_000, help="of each reader")
    parser.add_argument("--runs", type=int, default=500, help="cases of slow readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers, with commas between them")
    parser.add_argument("--child", default="", help="cases that this process reads")
    given = parser.parse_args()
    folder: Path = given.folder
    if given.child:
        targets = readers.targets(folder / "good", (folder / "good.npz").read_bytes())
        judge.watch()
        warnings.simplefilter("ignore")  # Pillow warns of half the files
        for name, cases in json.loads(given.child).items():
            read_cases(folder, name, targets[name], cases, given.seed)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_run(folder)
    names = given.only.split(",") if given.only else [*readers.NAMES]
    wanted = {x: given.runs if x in readers.SLOW else given.cases for x in names}
    read_all(folder, wanted, given.seed)
    print("| reader | cases | accepted | refused | other | most MB | most s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in results(folder / LOG).items():
        print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
