"""Throughput of the PyTorch DCGAN recipe: the peer that gan_jax is measured against.

The nets, losses, optimiser and order of updates are those of the well-known PyTorch DCGAN example
(ngf = ndf = 64, latents of 100, 4x4 kernels, BCE, Adam 2e-4 / 0.5, batch 128, one shared fake batch).

usage: python torch_dcgan_step.py BATCH SIZE CHANNELS MODE STEPS
  SIZE 64 or 32; MODE any of: eager, cl (channels_last), compile, compile-cl, and with -bf16 (autocast)
prints one JSON line: {"mode", "size", "batch", "ms_per_step", "images_per_second"} (medians)
"""

import contextlib
import json
import os
import sys
import time

import torch
from torch import nn

batch, size, channels, mode, steps = (
    int(sys.argv[1]),
    int(sys.argv[2]),
    int(sys.argv[3]),
    sys.argv[4],
    int(sys.argv[5]),
)
torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.manual_seed(0)
width, latent = 64, 100
levels = {64: 4, 32: 3}[size]

up, f = (
    [nn.ConvTranspose2d(latent, width * 2 ** (levels - 1), 4, 1, 0, bias=False)],
    width * 2 ** (levels - 1),
)
for _ in range(levels - 1):
    up += [
        nn.BatchNorm2d(f),
        nn.ReLU(True),
        nn.ConvTranspose2d(f, f // 2, 4, 2, 1, bias=False),
    ]
    f //= 2
generator = nn.Sequential(
    *up,
    nn.BatchNorm2d(f),
    nn.ReLU(True),
    nn.ConvTranspose2d(f, channels, 4, 2, 1, bias=False),
    nn.Tanh(),
)
down, f = (
    [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)],
    width,
)
for _ in range(levels - 1):
    down += [
        nn.Conv2d(f, 2 * f, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * f),
        nn.LeakyReLU(0.2, True),
    ]
    f *= 2
discriminator = nn.Sequential(*down, nn.Conv2d(f, 1, 4, 1, 0, bias=False))
for m in [*generator.modules(), *discriminator.modules()]:
    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
if "cl" in mode.split("-"):
    generator, discriminator = (
        m.to(memory_format=torch.channels_last) for m in (generator, discriminator)
    )
g_tx, d_tx = (
    torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999))
    for m in (generator, discriminator)
)
g, d = (
    (torch.compile(generator), torch.compile(discriminator))
    if "compile" in mode
    else (generator, discriminator)
)
bce = nn.BCEWithLogitsLoss()
real = torch.randn(batch, channels, size, size)
if "cl" in mode.split("-"):
    real = real.to(memory_format=torch.channels_last)
ones, zeros = torch.ones(batch), torch.zeros(batch)
cast = (
    (lambda: torch.autocast("cpu", torch.bfloat16))
    if "bf16" in mode
    else contextlib.nullcontext
)


def train_step() -> None:
    discriminator.zero_grad()
    with cast():
        real_loss = bce(d(real).view(-1).float(), ones)
    real_loss.backward()
    with cast():
        fake = g(torch.randn(batch, latent, 1, 1))
        fake_loss = bce(d(fake.detach()).view(-1).float(), zeros)
    fake_loss.backward()
    d_tx.step()
    generator.zero_grad()
    with cast():
        g_loss = bce(d(fake).view(-1).float(), ones)
    g_loss.backward()
    g_tx.step()


for _ in range(3):
    train_step()
times = []
for _ in range(steps):
    start = time.perf_counter()
    train_step()
    times.append(time.perf_counter() - start)
median = sorted(times)[len(times) // 2]
print(
    json.dumps(
        {
            "mode": mode,
            "size": size,
            "batch": batch,
            "ms_per_step": round(median * 1e3, 1),
            "images_per_second": round(batch / median, 1),
        }
    )
)
