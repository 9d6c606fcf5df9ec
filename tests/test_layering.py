"""Who imports whom: the table of README's section on the layout, held to the code."""

import ast
import collections
from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gan_jax"
# Heavy libraries, and the only modules or folders that may name them.
OWNERS = {
    "tensorflow": {"training/events", "data"},
    "tensorflow_datasets": {"data"},
    "orbax": {"run/checkpoints"},
    "fsspec": {"run/bucket"},
    "clu": {"training/events", "training/dry_run"},
}
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")
)


def imported(module):
    """Dotted names of everything that a file imports, at any depth of its code."""
    path = (PACKAGE / module).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def drawn():
    """For each room of README's table, what it imports."""
    text = (ROOT / "README.md").read_text().partition("## Layout")[2]
    rows = re.findall(
        r"^\| `([\w./]+)` \| .* \| (.*) \|$|^\| `([\w./]+)` \| .* \| \|$", text, re.M
    )
    return {
        (room or alone).removesuffix(".py").rstrip("/"): set(
            re.findall(r"`(\w+)`", names)
        )
        for room, names, alone in rows
    }


def test_the_table_of_the_readme_is_what_the_code_imports():
    found = collections.defaultdict(set)
    for module in MODULES:
        if module.parts[0] == "__init__":
            continue
        rooms = found[module.parts[0]]
        for dotted in imported(module):
            parts = dotted.split(".")
            if parts[0] == "gan_jax" and len(parts) > 1 and parts[1] != module.parts[0]:
                rooms.add(parts[1])
    assert drawn() == found


def test_no_rooms_import_each_other_in_a_circle():
    rooms = drawn()
    while rooms:
        ground = {name for name, imports in rooms.items() if not imports & rooms.keys()}
        assert ground, f"a circle among {', '.join(sorted(rooms))}"
        rooms = {name: rooms[name] for name in rooms.keys() - ground}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_heavy_libraries_stay_where_they_belong(module):
    places = {str(module), module.parts[0]}
    for dotted in imported(module):
        library = dotted.split(".")[0]
        assert library not in ("configs", "experiments", "tests"), dotted
        assert not dotted.startswith("jax._src"), dotted
        assert places & OWNERS.get(library, places), f"{module} imports {dotted}"


def test_importing_the_package_imports_no_library():
    code = "import sys, gan_jax; print({'jax', 'flax', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr
