"""Who imports whom: the drawing of the architecture, held to."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gan_jax"

# What each module of gan_jax may import of ours; sub-packages count as one.
ALLOWED = {
    "__init__": set(),
    "checkpoints": {"state"},
    "checks": set(),
    "command": set(),
    "data": {"checks", "data"},
    "evaluate": {
        *("checks", "command", "data", "evaluation", "images", "parallel", "runs"),
        *("scores", "workdir"),
    },
    "evaluation": {"checks", "evaluation", "models", "sampling"},
    "evaluator": {
        *("checkpoints", "models", "runs", "scores", "state", "workdir"),
    },
    "events": set(),
    "hosts": set(),
    "images": set(),
    "losses": {"checks"},
    "main": {"train", "parallel", "command"},
    "memory": {"parallel", "state"},
    "metrics": set(),
    "models": {"checks", "models"},
    "optimizers": {"checks"},
    "penalties": {"sampling"},
    "preflight": {
        *("checks", "data", "models", "optimizers", "recipes", "runs", "sampling"),
        *("scores", "writer"),
    },
    "recipes": {"checks", "losses", "penalties", "sampling"},
    "outputs": {"events", "images", "metrics", "scores", "workdir"},
    "parallel": {"hosts"},
    "runs": {
        *("checkpoints", "checks", "data", "images", "memory", "models", "recipes"),
        *("sampling", "state", "workdir"),
    },
    "sample": {"checks", "command", "images", "memory", "runs"},
    "sampling": {"checks"},
    "scores": {"checks", "data", "evaluation", "memory", "runs", "workdir"},
    "state": set(),
    "sweep": {
        *("checkpoints", "data", "models", "parallel", "preflight", "recipes"),
        *("state", "sweep_step", "train", "workdir", "writer"),
    },
    "sweep_step": {
        *("data", "optimizers", "recipes", "state", "train_step", "workdir"),
    },
    "train": {
        *("checkpoints", "data", "memory", "models", "optimizers", "parallel"),
        *("preflight", "recipes", "state", "train_step", "workdir", "writer"),
    },
    "train_classifier": {"command", "data", "evaluation"},
    "train_step": {"recipes", "sampling", "state"},
    "workdir": set(),
    "writer": {
        *("checkpoints", "evaluator", "outputs", "parallel", "runs", "sampling"),
    },
}
# Heavy libraries and the only modules that may name them.
OWNERS = {
    "tensorflow": {"events", "data"},
    "tensorflow_datasets": {"data"},
    "orbax": {"checkpoints"},
    "clu": {"events", "metrics"},
    "absl": None,
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield parts[0], path


def imported(path):
    """Dotted names of everything that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "name, path", list(modules()), ids=lambda value: str(value)[-40:]
)
def test_imports_keep_the_layers(name, path):
    assert name in ALLOWED, f"say in this table what {name} may import"
    for dotted in imported(path):
        parts = dotted.split(".")
        assert parts[0] not in ("configs", "experiments", "tests"), dotted
        assert not dotted.startswith("jax._src"), dotted
        if parts[0] == "gan_jax" and len(parts) > 1:  # else only its __version__
            assert parts[1] in ALLOWED[name], f"{name} imports {dotted}"
        owners = OWNERS.get(parts[0])
        assert owners is None or name in owners, f"{name} imports {dotted}"


def test_importing_the_package_imports_nothing():
    docstring, version = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr) and isinstance(version, ast.Assign)
