"""Devices and hosts: the only file that knows how many there are."""

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import importlib.util
import json
import os
from pathlib import Path
import re
import shutil
import socket
import threading
import time
from typing import Any, NamedTuple

from absl import logging
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from gan_jax import hosts

AXIS = "batch"
HEARTBEAT_TIMEOUT_SECONDS = 50  # JAX's timeout, if the connections of hosts.py fail
SECONDS_TO_NOTICE = 5  # hosts.py sees a death this long after JAX raises its error
DETERMINISTIC = "--xla_gpu_deterministic_ops"  # a flag of XLA, which has it on CPUs too
SECONDS_TO_MEET = 30  # at most, between processes that JAX has joined already
MORE_SECONDS = 60  # JAX, which aborts, waits longer than this process does
# Without these libtpu asks Google Cloud's metadata server about this machine and warns,
# and refuses to be loaded by two processes at once.
_NO_TPU_AT_HAND = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@contextlib.contextmanager
def joined(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    join_timeout: int = 300,
) -> Iterator[None]:
    """A context in which this process is joined to the other processes of its job.

    The first arguments are passed on to `jax.distributed.initialize`. Without them it
    is called if the environment shows several processes: a TPU pod slice, SLURM or
    JAX_COORDINATOR_ADDRESS. Enter the context before anything else touches a device.
    When a process of the job dies, all its processes end.

    Args:
      coordinator_address: HOST:PORT at which the first process listens.
      num_processes: number of processes of the job.
      process_id: number of this process, from 0.
      join_timeout: for how many seconds the processes wait for each other.

    Raises:
      ValueError: an argument is missing or out of range, or the job cannot be joined,
        for example because a process has not arrived.
    """
    environment = (
        "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or "JAX_COORDINATOR_ADDRESS" in os.environ
    )
    address = coordinator_address or os.environ.get("JAX_COORDINATOR_ADDRESS")
    given = (address, num_processes, process_id)
    _check_job(*given, environment=environment)
    if not environment and given == (None, None, None):
        yield
        return
    job = None
    if address is not None and num_processes is not None and process_id is not None:
        job = hosts.Job(process_id, num_processes)
        host, port = _host_and_port(address)
        if process_id == 0:
            job.listen(port)
        logging.info(
            "Waiting up to %d s for the %d processes of the job, which meet at %s.",
            *(join_timeout, num_processes, address),
        )
        job.meet((host, port), join_timeout)
    _initialize(given, join_timeout)
    job = job or _meet_through_jax(address)
    atexit.register(job.close)  # before JAX waits for the others
    try:
        yield
    except jax.errors.JaxRuntimeError:
        time.sleep(SECONDS_TO_NOTICE)  # the job's end is the reason, if it comes
        raise
    job.leave()


def _check_job(
    coordinator_address: str | None,
    num_processes: int | None,
    process_id: int | None,
    *,
    environment: bool,
) -> None:
    given = {
        "coordinator_address": coordinator_address,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < 3 and not environment:
        there = ", ".join(f"--{name}" for name in given if name not in missing)
        raise ValueError(
            f"{there} was given, but not --{' or --'.join(missing)}: a job of several "
            "processes takes all three, a single process takes none."
        )
    if coordinator_address is not None and not (
        re.fullmatch(r".+:[0-9]{1,5}", coordinator_address)
        and _host_and_port(coordinator_address)[1] in range(1, 2**16)
    ):
        raise ValueError(
            f"coordinator_address is {coordinator_address!r}, but must be HOST:PORT: "
            "change --coordinator_address."
        )
    if num_processes is not None and num_processes < 1:
        raise ValueError(
            f"num_processes is {num_processes}, but must be at least 1: change "
            "--num_processes."
        )
    if process_id is not None and not 0 <= process_id < (num_processes or np.inf):
        raise ValueError(
            f"process_id is {process_id}, but the job's processes are numbered from 0 "
            f"to {(num_processes or 1) - 1}: change --process_id."
        )


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _initialize(
    job: tuple[str | None, int | None, int | None], join_timeout: int
) -> None:
    """Joins JAX's job, or ends the process, where JAX would abort, if it cannot."""
    sentence = (
        f"the processes of this job did not all arrive within {join_timeout} s: start "
        "all of them, or let them wait longer with --join_timeout."
    )
    timer = threading.Timer(join_timeout, hosts.end, (sentence,))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            *job,
            initialization_timeout=join_timeout + MORE_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"this process could not join its job: {error}. Start num_processes "
            "processes with the same --coordinator_address=HOST:PORT, of which HOST "
            "runs --process_id=0."
        ) from error
    finally:
        timer.cancel()


def _meet_through_jax(address: str | None) -> hosts.Job:
    """Connects the processes of a job of which only JAX knew who they are."""
    job = hosts.Job(jax.process_index(), jax.process_count())
    where: tuple[str, int] = ("", 0)
    if is_writer():
        host = _host_and_port(address)[0] if address else socket.gethostname()
        where = (host, job.listen())
    host, port = gather({"where": where})[0]["where"]
    try:
        job.meet((host, port), SECONDS_TO_MEET)
    except ValueError as error:
        logging.warning(
            "The end of a process is noticed after %d s only: %s",
            *(HEARTBEAT_TIMEOUT_SECONDS, error),
        )
    return job


def _is_deterministic() -> bool | None:
    """What XLA_FLAGS says about DETERMINISTIC; None if it says nothing."""
    pairs = (word.partition("=") for word in os.environ.get("XLA_FLAGS", "").split())
    values = [value.lower() for name, _, value in pairs if name == DETERMINISTIC]
    return values[-1] in ("", "1", "true") if values else None


def make_deterministic() -> None:
    """Makes XLA take kernels for GPUs that give the same bits each time.

    XLA then takes the first kernel that compiles; otherwise it takes the one that is
    fastest in a trial, which may add numbers in any order. On a CPU nothing changes.
    XLA reads the environment variable XLA_FLAGS when a device is first used, so call
    this before. Flags that are set there stay.

    Raises:
      ValueError: XLA_FLAGS asks for the opposite, or names a file.
    """
    flags, chosen = os.environ.get("XLA_FLAGS", "").strip(), _is_deterministic()
    if chosen is False or (flags and not flags.startswith("-")):
        raise ValueError(
            f"deterministic is True, but XLA_FLAGS is {flags!r}, which must be flags "
            f"without {DETERMINISTIC}=false: change that environment variable, or set "
            "--config.deterministic=False."
        )
    if chosen is None:
        os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}=true".strip()


def check_deterministic() -> None:
    """Refuses GPUs that XLA has started without DETERMINISTIC.

    Raises:
      ValueError: the devices are GPUs, and XLA_FLAGS lacks the flag.
    """
    if jax.default_backend() == "gpu" and not _is_deterministic():
        raise ValueError(
            "deterministic is True, but JAX has started its GPUs without "
            f"{DETERMINISTIC}=true: set XLA_FLAGS to that in the environment, or call "
            "gan_jax.parallel.make_deterministic() before anything uses a device."
        )


def missed_accelerator(root: Path = Path("/")) -> str:
    """Says which accelerator of this machine JAX does not use; "" if there is none.

    Nothing is said to a user who chose the platform by JAX_PLATFORMS, or hid the GPUs
    by CUDA_VISIBLE_DEVICES.

    Args:
      root: folder in which the machine's folders dev and proc lie.
    """
    chosen = jax.config.jax_platforms  # type: ignore[attr-defined]
    if chosen or jax.default_backend() != "cpu":
        return ""
    files = [*root.glob("dev/nvidia[0-9]*"), *root.glob("proc/driver/nvidia/version")]
    found = files[0] if files else shutil.which("nvidia-smi")
    kind, advice = (
        "an NVIDIA GPU",
        'python -m pip install "jax[cuda13]" installs JAX for it',
    )
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
    if any(map(importlib.util.find_spec, plugins)):
        advice = "JAX_PLATFORMS=cuda python -c 'import jax; jax.devices()' says why"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        found = None
    if not found:
        files = list(root.glob("dev/accel[0-9]*"))
        if any(name.startswith("TPU_") for name in os.environ):
            files += root.glob("dev/vfio/[0-9]*")
        found = files[0] if files else None
        kind, advice = "a TPU", 'python -m pip install "jax[tpu]" installs JAX for it'
    if not found:
        return ""
    return (
        f"This machine seems to have {kind}, since there is {found}, but JAX uses the "
        f"CPU: {advice}. With JAX_PLATFORMS=cpu the CPU is used without this line."
    )


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs in `directory`; "" stands for ~/.cache/gan_jax.

    On GPUs, JAX keeps there too what XLA's trials of kernels have chosen, by the
    kind of GPU, and only process 0 of a job writes there.

    With several CPU devices there is no cache: XLA (jaxlib 0.10.2) runs the all-reduces
    of a cached CPU program out of order, and aborts when they meet.
    """
    if jax.default_backend() == "cpu" and jax.device_count() > 1:
        return
    path = Path(directory or "~/.cache/gan_jax").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def describe_devices() -> str:
    """The devices of all hosts in words, such as `8 devices (TPU v4) of 2 hosts`."""
    count, processes = jax.device_count(), jax.process_count()
    devices = f"{count} device{'s' if count > 1 else ''}"
    return f"{devices} ({jax.devices()[0].device_kind})" + (
        f" of {processes} hosts" if processes > 1 else ""
    )


def is_writer() -> bool:
    """Whether this host writes the run's folder, which only host 0 does."""
    return jax.process_index() == 0


class Memory(NamedTuple):
    """How much memory there is, and for how many devices.

    Attributes:
      of_host: bytes of this machine.
      of_device: bytes of a local device; CPU devices share the machine's memory.
      devices: number of devices on all hosts.
    """

    of_host: int
    of_device: int
    devices: int


def memory() -> Memory:
    """The memory of this host and of its devices."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    stats = jax.local_devices()[0].memory_stats() or {}  # a CPU has none
    device = stats.get("bytes_limit", host // jax.local_device_count())
    return Memory(host, device, jax.device_count())


def local_slots(batch_size: int) -> np.ndarray:
    """The places (D, B / D_all) int32 of this host's examples in the global batch.

    There are D local devices out of D_all, and row d belongs to local device d.

    Raises:
      ValueError: the devices cannot share the batch equally.
    """
    first = jax.process_index() * jax.local_device_count()
    slots = all_slots(batch_size, jax.device_count())
    return slots[first : first + jax.local_device_count()]


def all_slots(batch_size: int, count: int) -> np.ndarray:
    """The places (count, B / count) int32 of each device's examples in the batch.

    Raises:
      ValueError: the devices cannot share the batch equally.
    """
    if batch_size % count:
        nearest = max(count, round(batch_size / count) * count)
        raise ValueError(
            f"batch_size is {batch_size}, which {count} devices cannot share equally: "
            f"it must be a multiple of {count}; set --config.batch_size={nearest}."
        )
    return np.arange(batch_size, dtype=np.int32).reshape(count, -1)


def _by_device() -> jax.sharding.Sharding:
    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))


def on_each_device(value: Any) -> np.ndarray:
    """The value repeated for each local device: (D, ...) on the host."""
    return np.broadcast_to(value, (jax.local_device_count(), *np.shape(value)))


def place(tree: Any) -> Any:
    """The leaves (D, ...) on the local devices, row d on device d."""
    return jax.device_put(tree, _by_device())


def replicate(tree: Any) -> Any:
    """A copy of each leaf on every local device, stacked on a new leading axis."""

    def copy(leaf: Any) -> jax.Array:
        # A fresh buffer: the state is donated, and a restored array may borrow memory.
        leaf = on_each_device(np.asarray(leaf))
        return jnp.copy(place(leaf))

    return jax.tree.map(copy, tree)


def unreplicate(tree: Any) -> Any:
    """Host copies (NumPy) of the first local replica."""
    return jax.tree.map(
        lambda leaf: np.array(leaf.addressable_data(0)).squeeze(axis=0), tree
    )


@jax.jit
def _copy(shards: Any, index: tuple[int, ...]) -> Any:
    return jax.tree.map(lambda leaf: leaf[0][index], shards)


def copy_first_replica(tree: Any, *index: int) -> Any:
    """Copies of the first local replica, on its device; nothing is waited for.

    They stay when the arrays of the tree are donated to a later call.

    Args:
      tree: replicated arrays (D, ...).
      index: a part of each replica is copied, such as that of one of several runs.
    """
    return _copy(jax.tree.map(lambda leaf: leaf.addressable_data(0), tree), index)


def start_fetch(tree: Any) -> Any:
    """The same arrays, whose copy to the host has been started for `np.asarray`."""
    for leaf in jax.tree.leaves(tree):
        leaf.copy_to_host_async()
    return tree


def broadcast_from_writer(tree: Any) -> Any:
    """Host 0's tree of NumPy arrays on every host."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def gather(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The facts of each process, in order; every process has to call this.

    Args:
      facts: values that JSON holds, by name.
    """
    if jax.process_count() == 1:
        return [dict(facts)]
    from jax.experimental import multihost_utils

    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.zeros(max(sizes), np.uint8)
    padded[: len(text)] = text
    rows = multihost_utils.process_allgather(padded)
    return [
        json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)
    ]


def scan_steps(
    step: Callable[..., tuple[Any, Any]], devices: Sequence[jax.Device] | None = None
) -> Callable[..., Any]:
    """Compiles a step into a call that runs T steps on every device.

    Args:
      step: `(state, data, inputs, key) -> (state, metrics)`, a pure function, which
        averages over AXIS itself and folds the number of the step into the key.
      devices: devices of a slice that is not at hand, see slice_devices; None stands
        for the devices of this job.

    Returns:
      `(state, data, inputs, key, stop) -> (state, metrics, stop)`: state and data
      replicated (D, ...), the state donated; inputs (D, T, ...); stop (D,) int32 is
      returned as the maximum over all devices of all hosts, so that all hosts stop
      when one host was asked to stop. metrics are (D, T), equal over D.
    """

    def run(state: Any, data: Any, inputs: Any, key: jax.Array, stop: jax.Array) -> Any:
        def body(state: Any, one: Any) -> tuple[Any, Any]:
            return step(state, data, one, key)

        state, metrics = lax.scan(body, state, inputs)
        return state, metrics, lax.pmax(stop, AXIS)

    return jax.pmap(
        run,
        axis_name=AXIS,
        in_axes=(0, 0, 0, None, 0),
        donate_argnums=(0,),
        devices=devices,
    )


def slice_devices(topology: str) -> list[jax.Device]:
    """The devices of a TPU slice that is not at hand, for which programs are compiled.

    Call it before anything else touches a device: this machine's TPU or GPU is left
    alone from then on.

    Args:
      topology: generation and shape, such as v5e:2x4.

    Raises:
      ValueError: the compiler is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            "compiling for a TPU takes the package libtpu, which is not installed: run "
            "python -m pip install 'gan_jax[tpu]', or "
            "python -m pip install -e '.[tpu]' in the repository."
        )
    for name, value in _NO_TPU_AT_HAND.items():
        os.environ.setdefault(name, value)
    jax.config.update("jax_platforms", "cpu")
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if topology.endswith(":1x1"):  # libtpu supposes hosts of 2x2 chips
        options["chips_per_host_bounds"] = (1, 1, 1)
    if topology.startswith("v4:"):  # whose two cores are one device on Cloud TPU
        options["chip_config_name"] = "megacore"
    found = topologies.get_topology_desc(topology, platform="tpu", **options)
    return list(found.devices)
