"""Devices and hosts: the only file that knows how many there are."""

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import importlib.util
import json
import os
from pathlib import Path
import re
import socket
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
) -> Iterator[None]:
    """A context in which this process is joined to the other processes of its job.

    Arguments are passed on to `jax.distributed.initialize`. Without arguments it is
    called if the environment shows several processes: a TPU pod slice, SLURM or
    JAX_COORDINATOR_ADDRESS. Enter the context before anything else touches a device.
    When a process of the job dies, all its processes end.

    Raises:
      ValueError: an argument is missing or out of range, or the job cannot be joined.
    """
    environment = (
        "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or "JAX_COORDINATOR_ADDRESS" in os.environ
    )
    given = (coordinator_address, num_processes, process_id)
    _check_job(*given, environment=environment)
    if not environment and given == (None, None, None):
        yield
        return
    try:
        jax.distributed.initialize(
            *given, heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"this process could not join its job: {error}. Start num_processes "
            "processes with the same --coordinator_address=HOST:PORT, of which HOST "
            "runs --process_id=0."
        ) from error
    job = _watch_the_others(coordinator_address)
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
    if coordinator_address is not None and not re.fullmatch(
        r".+:[0-9]{1,5}", coordinator_address
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


def _watch_the_others(coordinator_address: str | None) -> hosts.Job:
    """Connects the first process with all others, so that they notice when it ends.

    Host 0 listens, and tells the other hosts its address through JAX.
    """
    job = hosts.Job()
    atexit.register(job.close)  # before JAX waits for the others
    word = np.zeros(512, np.int32)
    if is_writer():
        host = (coordinator_address or socket.gethostname()).rpartition(":")
        port, token = job.listen()
        text = json.dumps([host[0] or host[2], port, token.hex()]).encode()
        word[: len(text)] = list(text)
    host, port, token = json.loads(
        bytes(broadcast_from_writer(word).astype(np.uint8)).rstrip(b"\0")
    )
    if not is_writer():
        try:
            job.connect((host, port), bytes.fromhex(token), jax.process_index())
        except OSError as error:
            logging.warning(
                "Host 0 cannot be reached at %s:%d (%s): the end of a process is "
                "noticed after %d s only.",
                *(host, port, error, HEARTBEAT_TIMEOUT_SECONDS),
            )
    return job


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs in `directory`; "" stands for ~/.cache/gan_jax.

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


def replicate(tree: Any) -> Any:
    """A copy of each leaf on every local device, stacked on a new leading axis."""

    def copy(leaf: Any) -> jax.Array:
        # A fresh buffer: the state is donated, and a restored array may borrow memory.
        leaf = on_each_device(np.asarray(leaf))
        return jnp.copy(jax.device_put(leaf, _by_device()))

    return jax.tree.map(copy, tree)


def unreplicate(tree: Any) -> Any:
    """Host copies (NumPy) of the first local replica."""
    return jax.tree.map(
        lambda leaf: np.array(leaf.addressable_data(0)).squeeze(axis=0), tree
    )


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
