"""Throughput of dense GANs in PyTorch: the peer of configs/gan.py and configs/ring.py.

The same nets, losses, optimisers, batches of 100 and order of updates, as fast as we
could write them: real batches on hand, no .item(), one fused Adam, no gradients that
nobody needs. PyTorch is no dependency of gan_jax: install it in an environment of its
own (TORCH_PYTHON stands for its Python).

    TORCH_PYTHON experiments/throughput/torch_dense.py gan eager 500
    TORCH_PYTHON experiments/throughput/torch_dense.py ring compile 500

Arguments: gan or ring; eager or compile; timed steps. Prints one JSON line: the mean
time of a step, as gan_jax's calls of many steps have it.
"""

from collections.abc import Callable, Sequence
import itertools
import json
import os
import sys
import time

import torch
from torch import nn
from torch._functorch import config as functorch_config
from torch.nn import functional

BATCH, PIXELS, PIECES, WARM_UP = 100, 784, 5, 20


class Maxout(nn.Module):
    """The largest of each unit's pieces."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, U) from (B, PIECES * U)."""
        return x.view(len(x), PIECES, -1).amax(1)


def build_gan() -> tuple[nn.Module, nn.Module]:
    """The tutorials' nets: 256-512-1024 and 1024-512-256."""

    def stack(*widths: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for before, width in itertools.pairwise(widths):
            layers += [nn.Linear(before, width), nn.LeakyReLU(0.2, inplace=True)]
        return layers[:-1]

    generator = nn.Sequential(*stack(100, 256, 512, 1024, PIXELS), nn.Tanh())
    return generator, nn.Sequential(*stack(PIXELS, 1024, 512, 256, 1))


def build_ring() -> tuple[nn.Module, nn.Module]:
    """Lin et al.'s nets: 4x400 with BatchNorm, and 3x200 maxout of 5 pieces."""
    up: list[nn.Module] = []
    for before, width in zip((2, 400, 400, 400), (400,) * 4, strict=True):
        up += [nn.Linear(before, width, bias=False)]
        up += [nn.BatchNorm1d(width, momentum=0.05), nn.ReLU(inplace=True)]
    down: list[nn.Module] = []
    for before, width in zip((2, 200, 200), (200,) * 3, strict=True):
        down += [nn.Linear(before, PIECES * width), Maxout()]
    networks = (
        nn.Sequential(*up, nn.Linear(400, 2)),
        nn.Sequential(*down, nn.Linear(200, 1)),
    )
    for module in [*networks[0].modules(), *networks[1].modules()]:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
    return networks


def main() -> None:
    """Times the steps."""
    name, mode, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    is_ring = name == "ring"
    generator, discriminator = build_ring() if is_ring else build_gan()
    latent_size, rate, b1 = (2, 1e-4, 0.8) if is_ring else (100, 2e-4, 0.5)
    reals = torch.randn(10, BATCH, 2 if is_ring else PIXELS).unbind()
    g_params, d_params = list(generator.parameters()), list(discriminator.parameters())
    g_tx, d_tx = (
        torch.optim.Adam(params, rate, (b1, 0.999), fused=True)
        for params in (g_params, d_params)
    )
    g, d = generator, discriminator
    if mode == "compile":
        # The ring's graph is gone back twice.
        functorch_config.donated_buffer = not is_ring
        g, d = torch.compile(g), torch.compile(d)
    ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    bce = functional.binary_cross_entropy_with_logits

    def update(
        tx: torch.optim.Optimizer,
        params: Sequence[nn.Parameter],
        grads: Sequence[torch.Tensor],
    ) -> None:
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        tx.step()

    def fresh(real: torch.Tensor) -> None:
        with torch.no_grad():
            fake = g(torch.randn(BATCH, latent_size))
        d_loss = bce(d(real), ones) + bce(d(fake), zeros)
        update(d_tx, d_params, torch.autograd.grad(d_loss, d_params))
        discriminator.requires_grad_(False)  # its weights' gradients are not needed
        g_loss = bce(d(g(torch.randn(BATCH, latent_size))), ones)
        update(g_tx, g_params, torch.autograd.grad(g_loss, g_params))
        discriminator.requires_grad_(True)

    def simultaneous(real: torch.Tensor) -> None:
        fake_logits = d(g(torch.randn(BATCH, latent_size)))
        d_loss = bce(d(real), ones) + bce(fake_logits, zeros)
        d_grads = torch.autograd.grad(d_loss, d_params, retain_graph=True)
        g_grads = torch.autograd.grad(bce(fake_logits, ones), g_params)
        update(d_tx, d_params, d_grads)
        update(g_tx, g_params, g_grads)

    step: Callable[[torch.Tensor], None] = simultaneous if is_ring else fresh
    for number in range(WARM_UP):  # compiles too
        step(reals[number % 10])
    start = time.perf_counter()
    for number in range(steps):
        step(reals[number % 10])
    seconds = (time.perf_counter() - start) / steps
    line = {
        "name": name,
        "mode": mode,
        "batch": BATCH,
        "ms_per_step": round(seconds * 1e3, 3),
        "images_per_second": round(BATCH / seconds, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
