"""Throughput of the PyTorch DCGAN recipe: the peer that gan_jax is measured against.

The networks, losses, optimiser and order of updates of the PyTorch DCGAN example
(width 64, latents of 100, 4x4 kernels, BCE, Adam 2e-4 / 0.5, one shared fake batch).
PyTorch is no dependency of gan_jax: install it in an environment of its own.

    python experiments/throughput/torch_peer.py BATCH SIZE CHANNELS MODE STEPS

SIZE is 28, 32 or 64; MODE names any of eager, cl (channels_last), compile and bf16
(autocast), joined by "-". Prints one JSON line with medians over the steps.
"""

import contextlib
import json
import os
import statistics
import sys
import time

import torch
from torch import nn

WIDTH, LATENTS = 64, 100
BASES = {28: (7, 2), 32: (4, 3), 64: (4, 4)}  # smallest map, doublings


def build(size: int, channels: int) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator."""
    base, levels = BASES[size]
    width = WIDTH * 2 ** (levels - 1)
    up = [nn.ConvTranspose2d(LATENTS, width, base, 1, 0, bias=False)]
    for _ in range(levels - 1):
        up += [nn.BatchNorm2d(width), nn.ReLU(True)]
        up += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
        width //= 2
    up += [nn.BatchNorm2d(width), nn.ReLU(True)]
    up += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
    down = [nn.Conv2d(channels, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    width = WIDTH
    for _ in range(levels - 1):
        down += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)]
        down += [nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2, True)]
        width *= 2
    down += [nn.Conv2d(width, 1, base, 1, 0, bias=False)]
    networks = nn.Sequential(*up), nn.Sequential(*down)
    for module in [*networks[0].modules(), *networks[1].modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return networks


def main() -> None:
    """Times the steps."""
    batch, size, channels = (int(word) for word in sys.argv[1:4])
    modes, steps = sys.argv[4].split("-"), int(sys.argv[5])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    generator, discriminator = build(size, channels)
    real = torch.randn(batch, channels, size, size)
    if "cl" in modes:
        layout = {"memory_format": torch.channels_last}
        generator, discriminator = generator.to(**layout), discriminator.to(**layout)
        real = real.to(**layout)
    g_tx, d_tx = (
        torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
        for network in (generator, discriminator)
    )
    g, d = generator, discriminator
    if "compile" in modes:
        g, d = torch.compile(g), torch.compile(d)
    bce, ones, zeros = nn.BCEWithLogitsLoss(), torch.ones(batch), torch.zeros(batch)

    def judge(images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16) if "bf16" in modes else none:
            logits = d(images)
        bce(logits.view(-1).float(), labels).backward()

    none = contextlib.nullcontext()
    times = []
    for _ in range(3 + steps):
        start = time.perf_counter()
        discriminator.zero_grad()
        judge(real, ones)
        with torch.autocast("cpu", torch.bfloat16) if "bf16" in modes else none:
            fake = g(torch.randn(batch, LATENTS, 1, 1))
        judge(fake.detach(), zeros)
        d_tx.step()
        generator.zero_grad()
        judge(fake, ones)
        g_tx.step()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[3:])  # the first ones warm up and compile
    line = {
        "mode": sys.argv[4],
        "size": size,
        "batch": batch,
        "ms_per_step": round(seconds * 1e3, 1),
        "images_per_second": round(batch / seconds, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
