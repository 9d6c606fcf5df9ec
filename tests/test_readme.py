"""The READMEs name only what exists: files, modules, flags and config fields."""

import importlib.util
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parent.parent
_SPEC = importlib.util.spec_from_file_location(
    "readme_commands", ROOT / ".ci" / "readme_commands.py"
)
ci = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ci)
PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for folder in ("configs", "experiments", "gan_jax", "tests")
        for path in (ROOT / folder).rglob("*.md")
    ),
]
FLAGS = {
    flag
    for path in [
        *(ROOT / "gan_jax").glob("*.py"),
        *(ROOT / "experiments").rglob("*.py"),
    ]
    for flag in re.findall(
        r'(?:DEFINE_\w+\(\s*|add_argument\(\s*)"(?:--)?(\w+)"', path.read_text()
    )
}


def every_config():
    """All configs and presets: a field need only be in one of them."""
    for path in sorted((ROOT / "configs").glob("*.py")):
        module = importlib.import_module(f"configs.{path.stem}")
        yield module.get_config()
        for preset in getattr(module, "PRESETS", ()):
            yield module.get_config(preset)


def has(config, field):
    for name in field.split("."):
        if name not in config:
            return False
        config = config[name]
    return True


def commands(page):
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.S | re.M)
    return "\n".join(blocks).replace("\\\n", " ")


def links(text):
    """The targets of a page's links and images, without those that name a host."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.S | re.M)
    found = re.findall(r"\]\(\s*<?([^)>\s]+)", prose)
    found += re.findall(r"^ *\[[^\]]+\]: *(\S+)", prose, re.M)
    found += re.findall(r"<[^>]*\b(?:href|src)=[\"']([^\"']+)", prose)
    return [link for link in found if not re.match(r"\w+:", link)]


def anchors(text):
    """The names that GitHub gives to a page's headings."""
    lines = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    titles = re.findall(r"^#+ +(.+?) *#*$", lines, re.M)
    shown = (re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    found = []
    for title in shown:
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        taken = sum(re.fullmatch(rf"{name}(-\d+)?", one) is not None for one in found)
        found.append(f"{name}-{taken}" if taken else name)
    return found


def leads_somewhere(page, link):
    """Whether a relative link leads to a file, and to a heading if it names one."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return False
    target = target / "README.md" if target.is_dir() else target
    return not anchor or anchor in anchors(target.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page):
    text = page.read_text()
    missing = [link for link in links(text) if not leads_somewhere(page, link)]
    folders = "configs|gan_jax|experiments|tests"
    named = re.findall(rf"\b(?:{folders})/[\w/]+\.(?:py|md)", text)
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_flags_and_fields_exist(page):
    text = commands(page)
    for module in re.findall(r"-m (gan_jax\.\w+)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
    fields = set(re.findall(r"--config\.([\w.]+)=", text))
    flags = set(re.findall(r"--(\w+)", text)) - {"check", "config", "inplace", "logdir"}
    assert flags <= FLAGS, flags - FLAGS
    configs = list(every_config())
    for field in fields:
        assert any(has(config, field) for config in configs), field


@pytest.mark.parametrize(
    "link, is_right",
    [
        ("b.md", True),
        ("b.md#the-second-of-2", True),
        ("b.md#twice-1", True),
        ("#here", True),
        ("b.md#twice-2", False),
        ("#there", False),
        ("c.md", False),
    ],
)
def test_a_broken_link_is_seen(tmp_path, link, is_right):
    page = tmp_path / "a.md"
    page.write_text(f"# Here\n\n[a\nlink]({link}) and `[code](x.md)`\n")
    (tmp_path / "b.md").write_text("# The *second* of 2\n## Twice\n## Twice\n")
    assert links(page.read_text()) == [link]
    assert leads_somewhere(page, link) == is_right


def test_links_of_every_form_are_read():
    text = "![](a.png)\n[x]: b.md\n<img src='c.png'> [y](https://d.org) [z](e.md \"E\")"
    assert links(text) == ["a.png", "e.md", "b.md", "c.png"]


def test_ci_runs_each_command_or_says_why_not():
    tables = (ci.FIRST, ci.SECOND, ci.NOT_RUN)
    known = [command for table in tables for command in table]
    assert sorted(known) == sorted(set(ci.readme_commands()))
    assert all(ci.NOT_RUN.values())


def test_the_first_two_blocks_install_and_run():
    blocks = re.findall(r"^```\w*\n(.*?)^```", ci.README.read_text(), re.S | re.M)
    first, second = (block.splitlines() for block in blocks[:2])
    assert first == list(ci.FIRST)[:2] and "gan_jax.main" in first[1]
    assert not ci.FIRST[first[0]]
    assert second == list(ci.SECOND)[:2] and "pytest" in second[1]
    assert not any(ci.SECOND[command] for command in second)  # as it stands
