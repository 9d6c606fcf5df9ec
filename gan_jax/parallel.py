"""Devices and hosts: the only file that knows how many there are."""

from collections.abc import Callable
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

AXIS = "batch"


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins this process to the others of a job, if there are others.

    Arguments given by hand are passed on to `jax.distributed.initialize`; without
    them it is called where the environment shows several processes: a TPU pod slice,
    SLURM or JAX_COORDINATOR_ADDRESS. Call before anything else touches a device.
    """
    if coordinator_address is not None:
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    elif (
        "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or "JAX_COORDINATOR_ADDRESS" in os.environ
    ):
        jax.distributed.initialize()


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs in `directory`; "" stands for ~/.cache/gan_jax.

    Several CPU devices do without: XLA (jaxlib 0.10.2) runs the all-reduces of a CPU
    program that comes from the cache out of order, and aborts when they meet.
    """
    if jax.default_backend() == "cpu" and jax.device_count() > 1:
        return
    path = Path(directory or "~/.cache/gan_jax").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def describe_devices() -> str:
    """The devices of all hosts in words, such as `8 devices (TPU v4) of 2 hosts`."""
    count, hosts = jax.device_count(), jax.process_count()
    devices = f"{count} device{'s' if count > 1 else ''}"
    return f"{devices} ({jax.devices()[0].device_kind})" + (
        f" of {hosts} hosts" if hosts > 1 else ""
    )


def is_writer() -> bool:
    """Whether this host writes the run's folder: host 0 does."""
    return jax.process_index() == 0


class Memory(NamedTuple):
    """How much memory there is, and for how many devices.

    Attributes:
      of_host: bytes of this machine.
      of_device: bytes of each local device; CPU devices share the machine's.
      devices: of all hosts.
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

    D local devices of D_all; row d belongs to local device d.

    Raises:
      ValueError: a batch that the devices cannot share equally.
    """
    count = jax.device_count()
    if batch_size % count:
        nearest = max(count, round(batch_size / count) * count)
        raise ValueError(
            f"batch_size is {batch_size}, which {count} devices cannot share equally: "
            f"it must be a multiple of {count}; set --config.batch_size={nearest}."
        )
    slots = np.arange(batch_size, dtype=np.int32).reshape(count, -1)
    first = jax.process_index() * jax.local_device_count()
    return slots[first : first + jax.local_device_count()]


def _by_device() -> jax.sharding.Sharding:
    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))


def on_each_device(value: Any) -> np.ndarray:
    """The value once for each local device: (D, ...) on the host."""
    return np.broadcast_to(value, (jax.local_device_count(), *np.shape(value)))


def replicate(tree: Any) -> Any:
    """A copy of each leaf on every local device, stacked on a new leading axis."""

    def copy(leaf: Any) -> jax.Array:
        # A fresh buffer: the state is donated, and a restored array may not own its.
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


def scan_steps(step: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Compiles a step into a call that runs T of them on every device.

    Args:
      step: `(state, data, inputs, key) -> (state, metrics)`, pure, averaging over
        AXIS by itself. It folds the step's number into the key.

    Returns:
      `(state, data, inputs, key, stop) -> (state, metrics, stop)`: state and data
      replicated (D, ...), the state donated; inputs (D, T, ...); stop (D,) int32 is
      returned as the maximum over all devices of all hosts, so that hosts agree when
      one of them was asked to leave. metrics are (D, T), equal over D.
    """

    def run(state: Any, data: Any, inputs: Any, key: jax.Array, stop: jax.Array) -> Any:
        def body(state: Any, one: Any) -> tuple[Any, Any]:
            return step(state, data, one, key)

        state, metrics = lax.scan(body, state, inputs)
        return state, metrics, lax.pmax(stop, AXIS)

    return jax.pmap(
        run, axis_name=AXIS, in_axes=(0, 0, 0, None, 0), donate_argnums=(0,)
    )
