"""What XLA's text says is counted, what does not fit is refused; TPUs need libtpu."""

import configparser
import importlib.util
import os
from pathlib import Path
import re
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from gan_jax import data, parallel
from gan_jax.training import compile_for, dry_run, tpu
from tests import support

ROOT = Path(__file__).parents[2]
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu"
)

# As XLA prints a TPU's program, without metadata: a loop's body with a reduction of two
# arrays and an asynchronous one of a bfloat16 array, and a reduction outside.
PROGRAM = """\
HloModule jit__fun, is_scheduled=true

%add.1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  ROOT %sum = f32[]{:T(128)} add(%a, %b), metadata={op_name="all-reduce(x)"}
}

%inner.5 (p: bf16[8]) -> bf16[8] {
  %p = bf16[8]{0:T(8,128)(2,1)} parameter(0)
  %s = bf16[8]{0} all-reduce-start(%p), channel_id=3, to_apply=%add.1
  ROOT %d = bf16[8]{0} all-reduce-done(%s)
}

%body.2.sunk (state: (s32[], f32[3,4])) -> (s32[], f32[3,4]) {
  %state = (s32[]{:T(128)}, f32[3,4]{1,0:T(4,128)S(1)}) parameter(0)
  %r = (f32[3,4]{1,0:T(4,128)}, pred[5]{0}) all-reduce(%x, %y), to_apply=%add.1
  %f = bf16[8]{0} fusion(%z), kind=kCustom, calls=%inner.5
  ROOT %out = (s32[], f32[3,4]{1,0}) tuple(%i, %r)
}

ENTRY %main.3 (arg: f32[3,4]) -> f32[3,4] {
  %w = (s32[], f32[3,4]{1,0}) while(%t), condition=%cond.1, body=%body.2.sunk
  %stop = s32[]{:T(128)} all-reduce(%one), replica_groups={{0,1}}, to_apply=%max.1
  ROOT %g = f32[3,4]{1,0} get-tuple-element(%w), index=1
}
"""


def test_all_reduces_in_the_loop_count_once_a_step():
    # In the loop 3 * 4 float32, 5 bytes of booleans and 8 bfloat16; outside one int32.
    expected = 7 * 2 + 1, 7 * (3 * 4 * 4 + 5 + 8 * 2) + 4
    assert compile_for.all_reduces(PROGRAM, steps=7) == expected


def test_a_program_of_this_machine_is_read_too():
    def step(state, data, inputs, key):
        del data, key
        mean = jax.lax.pmean(state @ state, parallel.AXIS)
        return mean, jax.lax.pmean(jnp.sum(mean) + inputs, parallel.AXIS)

    call = parallel.scan_steps(step, jax.devices())
    shapes = (jnp.zeros((2, 8, 8)), {}, jnp.zeros((2, 5)), jnp.zeros(()))
    stop = jnp.zeros(2, jnp.int32)
    text = call.lower(*shapes, stop).compile().as_text()
    # A matrix and a scalar in each of five steps, and the sign to stop.
    assert compile_for.all_reduces(text, steps=5) == (11, 5 * (8 * 8 + 1) * 4 + 4)


def test_a_missing_compiler_is_named_with_the_extra_that_has_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"libtpu.*'gan_jax\[tpu\]'"):
        parallel.slice_devices("v5e:2x2")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extra = setup["options.extras_require"]["tpu"]
    assert extra.strip() == "jax[tpu]"  # the libtpu that fits the jax


@pytest.fixture
def config(shared_folder):
    return support.make_dense_config(shared_folder)


@pytest.fixture(scope="module")
def compiled(shared_folder):
    """The run's call for this machine's two devices, of 48 images."""
    config = support.make_dense_config(shared_folder)
    return compile_for.compile_call(config, jax.devices(), 48)


@pytest.fixture
def here(monkeypatch):
    """Lets this machine's two devices stand for the chips of the slice v5e:2x4."""
    two = tpu.Slice("v5e:2x4", tpu.CHIPS["v5e"], (2, 1))
    monkeypatch.setattr(parallel, "slice_devices", lambda name: jax.devices())
    monkeypatch.setattr(tpu, "parse", lambda name: two)


@pytest.mark.slow
def test_the_compiled_call_is_that_of_a_run(config, compiled):
    measured = dry_run.measure(config, data.Outlook(None, True, 48, ""))
    there, here = map(dry_run.memory_of_call, (compiled.sizes, measured.sizes))
    assert there["state and data"] == here["state and data"]
    # What XLA counts before it optimises, on both devices, and afterwards, on one.
    np.testing.assert_allclose(2 * compiled.work.flop, measured.flop, rtol=0.2, atol=0)
    assert compiled.work.bytes > 0


@pytest.mark.slow
def test_the_gradients_of_both_networks_are_reduced(config, compiled):
    shapes = dry_run.shapes(config)
    params = jax.tree.leaves((shapes.generator.params, shapes.discriminator.params))
    gradients = sum(4 * leaf.size for leaf in params)
    # Metrics and the sign to stop are a few numbers more.
    np.testing.assert_allclose(
        compiled.work.reduced_bytes, gradients, rtol=0.01, atol=64
    )


@pytest.mark.slow
def test_every_part_is_printed(config, compiled, here, monkeypatch, capsys):
    monkeypatch.setattr(compile_for, "compile_call", lambda *arguments: compiled)
    config.data.device_bytes = 0
    compile_for.show(config, "v5e:2x4", default=default.get_config())
    said = capsys.readouterr().out
    titles = re.findall(r"^(\w.*):$", said, re.M)
    assert titles[:4] == ["Config", "Data", "Networks", "Slice"]
    assert titles[4:6] == ["A call of 2 steps on each chip", "A step on each chip"]
    assert "not validated on a TPU" in titles[6]
    assert "48 images of 16x16x1 (12.0 KiB): the hosts send" in said
    assert "v5e:2x4 has 2 chips; a chip has 16.0 GiB of memory." in said
    assert f"A batch of {config.batch_size} images is {config.batch_size // 2}" in said


@pytest.mark.slow
def test_a_call_beyond_the_memory_is_refused(config, compiled, here, monkeypatch):
    small = tpu.CHIPS["v5e"]._replace(memory=2**10)
    monkeypatch.setattr(tpu, "parse", lambda name: tpu.Slice(name, small, (2, 1)))
    monkeypatch.setattr(compile_for, "compile_call", lambda *arguments: compiled)
    sentence = "of memory.*but a chip of v5e:2x4 has 0.0 GiB: lower --config.batch_size"
    with pytest.raises(ValueError, match=sentence):
        compile_for.show(config, "v5e:2x4", default=default.get_config())


@pytest.fixture
def fail(config, monkeypatch):
    """A function that compiles, while XLA raises an error with a message."""

    def compile_call(message):
        def refuse():
            raise jax.errors.JaxRuntimeError(message)

        lowered = types.SimpleNamespace(compile=refuse)
        call = types.SimpleNamespace(lower=lambda *arguments: lowered)
        monkeypatch.setattr(parallel, "scan_steps", lambda step, devices: call)
        compile_for.compile_call(config, jax.devices(), 48)

    return compile_call


def test_a_call_that_xla_finds_too_large_is_refused_in_a_sentence(fail):
    # libtpu 0.0.42 says so, and then lists the largest arrays.
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for "
        "HLO temporaries (168.58G) exceeds available HBM (15.75G).\nLargest:\n 1. x"
    )
    sentence = r"does not fit .*available HBM \(15.75G\)\): lower --config.batch_size"
    with pytest.raises(ValueError, match=sentence):
        fail(message)


def test_another_error_of_xla_stays_what_it_is(fail):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        fail("INTERNAL: Mosaic failed")


def test_a_batch_that_chips_cannot_share_is_refused(config, here):
    config.batch_size = 3
    with pytest.raises(ValueError, match="batch_size is 3, which 2 devices cannot"):
        compile_for.show(config, "v5e:2x4", default=default.get_config())


def test_a_value_out_of_its_range_is_refused(config, here):
    config.num_train_steps = 0
    with pytest.raises(ValueError, match="num_train_steps is 0"):
        compile_for.show(config, "v5e:2x4", default=default.get_config())


def command(*flags, cwd):
    words = [sys.executable, "-m", "gan_jax.main", "--config=gan", *flags]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--compile_for="], "'' is no TPU slice: it must be a generation"),
        (["--compile_for=v5e:2x2", "--dry_run"], "--compile_for came with --dry_run"),
    ],
)
def test_the_command_refuses_in_a_sentence(tmp_path, flags, sentence):
    done = command(*flags, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert sentence in done.stderr


@needs_libtpu
@pytest.mark.slow
def test_the_command_compiles_for_a_tpu_and_writes_nothing(tmp_path):
    networks = ("generator", "discriminator")
    flags = [f"--config.model.{name}.features=(8,)" for name in networks]
    done = command(*flags, "--compile_for=v5e:2x2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "v5e:2x2 has 4 chips; a chip has 16.0 GiB of memory." in done.stdout
    # Gradients and metrics of each network in a step, and the sign to stop in a call.
    assert "2.1 all-reduces" in done.stdout


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, hosts", [("v4:2x2x2", 2), ("v5p:2x2x2", 2), ("v6e:1x1", 1)]
)
def test_a_slice_has_a_device_for_each_chip(name, hosts):
    devices = parallel.slice_devices(name)
    assert len(devices) == tpu.parse(name).chips and devices[0].platform == "tpu"
    assert compile_for.hosts(devices) == hosts
