"""What --help of each command says."""

import ast
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from gan_jax import command

ROOT = Path(__file__).parent.parent
COMMANDS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in [*(ROOT / "gan_jax").glob("*.py"), ROOT / "experiments" / "run.py"]
    if "command.run(main)" in path.read_text()
}


def docstring(module):
    return ast.get_docstring(ast.parse(COMMANDS[module].read_text()))


def flags_of(module):
    """The name and the help of each flag, in the order of the file."""
    text = COMMANDS[module].read_text()
    found = defined_flags(text)
    if "adopt_module_key_flags(generator_flags)" in text:
        shared = ROOT / "gan_jax" / "generator_flags.py"
        found = defined_flags(shared.read_text()) | found
    return found


def defined_flags(text):
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and "DEFINE" in ast.unparse(node.func)
    ]
    texts = [
        [word.value for word in call.args if isinstance(word, ast.Constant)]
        for call in sorted(calls, key=lambda call: call.lineno)
    ]
    return {strings[0]: strings[-1] for strings in texts}


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_every_command_is_checked_here():
    assert {"gan_jax.main", "gan_jax.export", "experiments.run"} <= set(COMMANDS)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_docstring_has_two_examples_with_flags_that_exist(module):
    lines = re.findall(
        rf"^  python -m {module} ((?:.*\\\n)*.*)", docstring(module), re.M
    )
    assert len(lines) >= 2
    for line in lines:
        assert set(re.findall(r"--(\w+)", line)) <= set(flags_of(module))


@pytest.mark.parametrize("module", COMMANDS)
def test_a_flags_help_is_made_of_sentences(module):
    for name, text in flags_of(module).items():
        assert text[0].isupper() or text.startswith("--"), name
        assert text.endswith("."), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["gan_jax.main", "--config=configs/dcgan.py", "--config.seed=1", "--help"],
        ["gan_jax.report", "-h"],
        ["gan_jax.export", "--help"],
    ],
)
def test_help_is_the_docstring_the_statuses_and_the_commands_own_flags(words):
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(docstring(words[0]))
    assert command.STATUSES in done.stdout and "--helpfull" in done.stdout
    described = done.stdout.partition("Flags of this command")[2]
    names = re.findall(r"^  --(?:\[no\])?(\w+)", described, re.M)
    assert names == list(flags_of(words[0]))


@pytest.mark.slow
def test_the_flags_of_libraries_are_listed_on_demand():
    done = run("gan_jax.report", "--helpfull")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--verbosity" in done.stdout


@pytest.mark.slow
def test_a_flag_that_must_be_given_is_named():
    done = run("gan_jax.report")
    expected = "error: --workdir is missing; --help says what it is.\n"
    assert (done.returncode, done.stderr) == (2, expected)
