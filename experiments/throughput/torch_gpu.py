"""Throughput of the PyTorch peers on a GPU, as fast as we could make them.

The networks are those of torch_peer.py and torch_dense.py, with the same losses, order
of updates and Adam. No gradient is computed that nobody needs, and with the mode graph
the whole step is one CUDA graph, which is replayed. float32 products are TF32, as they
are in JAX by default. PyTorch is no dependency of gan_jax: install it in an environment
of its own (TORCH_PYTHON stands for its Python).

    export PYTHONPATH=.
    TORCH_PYTHON experiments/throughput/torch_gpu.py dcgan:64:3:128 graph-cl 50
    TORCH_PYTHON experiments/throughput/torch_gpu.py ring:100 graph-compile 200

Arguments: dcgan:SIZE:CHANNELS:BATCH, gan:BATCH or ring:BATCH; modes joined by "-", of
eager, cl (channels_last), compile, bf16 (autocast) and graph; steps of a timed block.
Prints one JSON line with the median over five blocks. Without a GPU the step runs on
the CPU and not as a graph, which tries the script and measures nothing.
"""

from collections.abc import Callable, Sequence
import contextlib
import itertools
import json
import statistics
import sys
import time
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._functorch import config as functorch_config
from torch.nn import functional

from experiments.throughput import torch_dense, torch_peer

BLOCKS, WARM_UP = 5, 11
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Peer(NamedTuple):
    """What is trained.

    Attributes:
      networks: the generator and the discriminator.
      real: a batch of real images or points.
      latents: the shape of a batch of latents.
      rate: Adam's learning rate.
      b1: Adam's decay of the mean of gradients.
      updates: shared, fresh or simultaneous, as in gan_jax.
    """

    networks: tuple[nn.Module, nn.Module]
    real: torch.Tensor
    latents: tuple[int, ...]
    rate: float
    b1: float
    updates: str


def make_peer(name: str) -> Peer:
    """The peer that the first argument names, on the CPU."""
    kind, *numbers = name.split(":")
    *shape, batch = map(int, numbers)
    if kind == "dcgan":
        size, channels = shape
        real = torch.randn(batch, channels, size, size)
        latents = (batch, torch_peer.LATENTS, 1, 1)
        networks = torch_peer.build(size, channels)
        return Peer(networks, real, latents, 2e-4, 0.5, "shared")
    if kind == "gan":
        real = torch.randn(batch, torch_dense.PIXELS)
        return Peer(torch_dense.build_gan(), real, (batch, 100), 2e-4, 0.5, "fresh")
    real = torch.randn(batch, 2)
    networks = torch_dense.build_ring()
    return Peer(networks, real, (batch, 2), 1e-4, 0.8, "simultaneous")


def make_step(peer: Peer, modes: Sequence[str]) -> Callable[[], None]:
    """A training step."""
    layout = {"memory_format": torch.channels_last} if "cl" in modes else {}
    networks = [network.to(DEVICE, **layout) for network in peer.networks]
    real = peer.real.to(DEVICE, **layout)
    parameters = [list(network.parameters()) for network in networks]
    # A fused Adam does not take the strides of channels_last.
    kind: dict[str, Any] = {"foreach" if layout else "fused": True}
    kind["capturable"] = "graph" in modes and DEVICE == "cuda"
    txs = [torch.optim.Adam(p, peer.rate, (peer.b1, 0.999), **kind) for p in parameters]
    g, d = map(torch.compile, networks) if "compile" in modes else networks
    ones = torch.ones(len(real), device=DEVICE)
    zeros = torch.zeros(len(real), device=DEVICE)

    def narrow() -> contextlib.AbstractContextManager[Any]:
        if "bf16" in modes:
            return torch.autocast(DEVICE, torch.bfloat16)
        return contextlib.nullcontext()

    def generate() -> torch.Tensor:
        with narrow():
            return g(torch.randn(peer.latents, device=DEVICE))

    def loss(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with narrow():
            logits = d(images)
        return functional.binary_cross_entropy_with_logits(
            logits.view(-1).float(), targets
        )

    def update(network: int, gradients: Sequence[torch.Tensor]) -> None:
        for parameter, gradient in zip(parameters[network], gradients, strict=True):
            parameter.grad = gradient
        txs[network].step()

    def step() -> None:
        fake = generate()
        d_loss = loss(real, ones) + loss(fake.detach(), zeros)
        update(1, torch.autograd.grad(d_loss, parameters[1]))
        if peer.updates == "fresh":
            fake = generate()
        update(0, torch.autograd.grad(loss(fake, ones), parameters[0]))

    def simultaneous() -> None:
        with narrow():
            logits = d(generate()).view(-1).float()
        bce = functional.binary_cross_entropy_with_logits
        d_loss = loss(real, ones) + bce(logits, zeros)
        gradients = torch.autograd.grad(d_loss, parameters[1], retain_graph=True)
        g_gradients = torch.autograd.grad(bce(logits, ones), parameters[0])
        update(1, gradients)
        update(0, g_gradients)

    return simultaneous if peer.updates == "simultaneous" else step


def wait() -> None:
    """Returns when the GPU has nothing left to do."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def warm_up(step: Callable[[], None], *, capture: bool) -> Callable[[], Any]:
    """The step after a few calls, which compile it, or its CUDA graph."""
    if DEVICE == "cpu":
        step()
        return step
    stream = torch.cuda.Stream()  # a capture needs a warm-up beside the main stream
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    wait()
    if not capture:
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def main() -> None:
    """Times the steps."""
    name, modes, steps = sys.argv[1], sys.argv[2].split("-"), int(sys.argv[3])
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    peer = make_peer(name)
    if peer.updates == "simultaneous":
        functorch_config.donated_buffer = False  # its graph is gone back twice
    run = warm_up(make_step(peer, modes), capture="graph" in modes)
    times = []
    for _ in range(BLOCKS):
        wait()
        start = time.perf_counter()
        for _ in itertools.repeat(None, steps):
            run()
        wait()
        times.append((time.perf_counter() - start) / steps)
    seconds = statistics.median(times)
    line = {
        "name": name,
        "mode": sys.argv[2],
        "device": DEVICE,
        "ms_per_step": round(seconds * 1e3, 4),
        "images_per_second": round(len(peer.real) / seconds, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
