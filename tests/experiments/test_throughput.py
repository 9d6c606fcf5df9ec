"""The benchmarks' arithmetic: closed forms, nothing is timed."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dcgan, gan, ring
from experiments.engine import trials
from experiments.throughput import gpu, growth, machines, steps, textbook, traces
from gan_jax import parallel
from gan_jax.models import convolution
from gan_jax.run import config_file

# 2 chips of 1 TFLOP/s, 100 GB/s and links of 10 GB/s; a step of 1 + 2 b GFLOP and
# 3 + 4 b GB with gradients of 50 MB.
MACHINE = machines.Machine("two", 2, {"float32": 1e12}, 100e9, 10e9)
WORK = machines.Work(1e9, 2e9, 3e9, 4e9, 50e6)


def test_roofline_times_are_those_by_hand():
    times = machines.step_times(MACHINE, WORK, batch=10, dtype="float32")
    # 21 GFLOP / 1 TFLOP/s; 43 GB / 100 GB/s; 2 (2 - 1) / 2 * 50 MB / 10 GB/s.
    np.testing.assert_allclose(times, (0.021, 0.43, 0.005), rtol=1e-12, atol=0)


def test_all_reduce_equals_compute_at_the_balanced_batch():
    # 1 + 2 b = 5 ms: b = 2. Memory takes 30 ms at least: no batch is too small.
    batch = machines.balanced_batch(MACHINE, WORK, dtype="float32", by="compute")
    np.testing.assert_allclose(batch, 2, rtol=1e-9, atol=0)
    assert machines.balanced_batch(MACHINE, WORK, dtype="float32", by="memory") == 0


def test_one_chip_reduces_nothing():
    alone = MACHINE._replace(chips=1)
    assert machines.step_times(alone, WORK, batch=1, dtype="float32").all_reduce == 0


def test_met_pixels_leaves_the_padding_out():
    # 8 pixels, 4 wide windows at stride 2, one zero before: windows start at -1, 1, 3
    # and 5 and meet 3, 4, 4 and 3 pixels.
    assert textbook.met_pixels(8, 4, 2, 1, 4) == 14


@pytest.mark.parametrize(
    "layer, images, expected",
    [
        (nn.Dense(7), (5, 3), 5 * 3 * 7),
        (convolution.Conv(6, (4, 4), (2, 2)), (5, 8, 8, 3), 5 * 14 * 14 * 3 * 6),
        (convolution.Conv(6, (4, 4), padding="VALID"), (5, 4, 4, 3), 5 * 16 * 3 * 6),
        # The same pairs of pixels as of the convolution from 8x8 to 4x4.
        (
            convolution.ConvTranspose(6, (4, 4), (2, 2)),
            (5, 4, 4, 3),
            5 * 14 * 14 * 3 * 6,
        ),
        (
            convolution.ConvTranspose(6, (4, 4), padding="VALID"),
            (5, 1, 1, 3),
            5 * 16 * 18,
        ),
    ],
)
def test_multiplications_of_a_layer_are_those_by_hand(layer, images, expected):
    assert textbook.multiplications(layer, images) == expected


def test_xla_counts_a_convolution_and_its_gradients_alike():
    layer = convolution.Conv(6, (4, 4), (2, 2), use_bias=False, implementation="lax")
    images, kernel = np.zeros((5, 8, 8, 3), np.float32), np.zeros((4, 4, 3, 6), "f4")

    def loss(images, kernel):
        return layer.apply({"params": {"kernel": kernel}}, images).sum()

    cost = jax.jit(jax.grad(loss, (0, 1))).lower(images, kernel).cost_analysis()
    # Two products: the sum's value needs no forward pass; some additions beside them.
    expected = 2 * 2 * textbook.multiplications(layer, images.shape)
    np.testing.assert_allclose(cost["flops"], expected, rtol=0.01, atol=0)


def test_the_ring_step_is_that_by_hand():
    # Generator 2-400-400-400-400-2, discriminator 2-3x(200 of 5 pieces)-1.
    g, g_first = 2 * 400 + 3 * 400**2 + 400 * 2, 2 * 400
    d, d_first = 2 * 1000 + 2 * 200 * 1000 + 200, 2 * 1000
    # Both passes of the discriminator forward and back to its kernels and hidden
    # layers; the fake one back to the images too; the generator forward and back.
    total = 2 * (d + d + d - d_first) + d + g + g + (g - g_first)
    assert textbook.step_flop(ring.get_config()) == 2 * 100 * total


def test_new_latents_cost_one_more_generator_pass():
    config = gan.get_config()
    fresh = textbook.step_flop(config)
    config.recipe.updates = "shared"
    pass_ = 100 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    assert fresh - textbook.step_flop(config) == 2 * config.batch_size * pass_


def test_a_dcgan_step_of_64_pixels_is_253_gflop():
    flop = textbook.step_flop(dcgan.get_config("celeba"))
    np.testing.assert_allclose(flop, 253e9, rtol=0.1, atol=0)


def test_a_penalty_is_refused():
    config = ring.get_config()
    config.recipe.penalty = "r1"
    with pytest.raises(ValueError, match=r"penalty is 'r1'.*without one"):
        textbook.step_flop(config)


def test_vmapped_seeds_are_one_more_axis():
    config = ring.get_config()
    config.steps_per_call, config.batch_size = 2, 4
    config.model.generator.features = config.model.discriminator.features = (8,)
    program = steps.build(config, seeds=3)
    state, metrics, _ = jax.eval_shape(program.call, program.state, *program.rest)
    assert state.generator.step.shape == (2, 3)  # devices, seeds
    assert metrics["d_loss"].shape == (2, 2, 3)  # devices, steps, seeds


def sorting_program(size):
    """A program whose step holds a few arrays of `size` floats."""

    def step(state, data, inputs, key):
        del data, key
        return jnp.sort(state) + inputs, {}

    state = parallel.replicate(np.zeros(size, np.float32))
    inputs = np.ones((2, 1, 1), np.float32)  # devices, steps
    rest = ({}, {"ones": inputs}, jax.random.key(0), np.zeros(2, np.int32))
    call = parallel.scan_steps(lambda s, d, i, k: step(s, d, i["ones"], k))
    return steps.Program(call, state, rest, steps=1)


def test_predictions_grow_with_the_state():
    counts = []
    for size in (10**6, 4 * 10**6):
        compiled, count = steps.compile_and_count(sorting_program(size))
        assert next(steps.run_calls(compiled)) > 0
        counts.append(count)
    # Not the predicted peak: it counts what other tests hold, and let go of.
    for name in ("flop_per_step", "bytes_per_step", "program_mib"):
        assert counts[1][name] > 3 * counts[0][name] > 0, name
    # The state and its sorted copy, 16 MB each, on both devices.
    assert counts[1]["program_mib"] > 4 * 4 * 4e6 / steps.MIB * 0.99


def test_self_times_take_what_is_inside_away():
    # A loop from 0 to 10 with two products inside, one of which has a copy inside.
    events = [("dot", 1, 4), ("while", 0, 10), ("copy", 2, 1), ("dot", 6, 2)]
    assert traces.self_times(events) == {"while": 4, "dot": 5, "copy": 1}


@pytest.mark.parametrize(
    "name, origin, expected",
    [
        ("dot.111", "jvp(D)/hidden2/transpose", "matrix product"),
        ("fusion.2", "jvp(D)/down1/dot_general", "matrix product"),
        ("add_fusion", "jvp(D)/down1/add", "add"),
        ("while", "", "other"),
    ],
)
def test_kinds_of_operations(name, origin, expected):
    assert traces.kind(name, origin) == expected


def test_every_process_of_a_job_gets_its_number():
    one, other = growth.commands("processes", 2, ["--calls=1"])
    assert one[:-1] == other[:-1] and "--num_processes=2" in one
    assert (one[-1], other[-1]) == ("--process_id=0", "--process_id=1")
    assert len(growth.commands("batch", 32, [])) == 1


@pytest.mark.parametrize("row", gpu.ROWS, ids=lambda row: row.name)
def test_the_rows_for_a_gpu_set_fields_that_their_configs_have(row):
    config = config_file.flatten(trials.load_config(row.config).to_dict())
    found = " ".join(gpu.commands(row, "", tiny=True).values())
    named = re.findall(r"--config\.([\w.]+)", found)
    assert named and {*named} <= config.keys()


@pytest.mark.slow
def test_the_script_for_a_gpu_prints_a_row(monkeypatch, capsys):
    arguments = ["gpu.py", "--tiny", "--only=MLP", "--torch_python="]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", ".")
    gpu.main()
    row = capsys.readouterr().out.strip().splitlines()[-1]
    number = r"\d+\.\d+ \(\d+\.\d+ to \d+\.\d+\)"
    assert re.fullmatch(rf"\| MLP GAN, 128 \| - \| {number} \| {number} \| - \|", row)
