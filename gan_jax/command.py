"""What every command shares: strict parsing of flags, help, errors in one sentence."""

from collections.abc import Callable, Iterator
import difflib
import errno
import functools
import importlib
import importlib.machinery
import importlib.util
import logging as standard_logging
import os
from pathlib import Path
import re
import signal
import sys
import textwrap
import traceback
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from gan_jax import interrupt

ROOT = Path(__file__).parent.parent  # the repository, or Python's site-packages
MISTAKE, WRONG_FLAG = 1, 2  # exit statuses; Ctrl-C has interrupt.INTERRUPTED
UNFINISHED = 75  # exit status EX_TEMPFAIL of sysexits.h: start the command again
STATUSES = (
    f"The exit status is 0 if all went well, {MISTAKE} after a mistake, which a "
    f"sentence explains,\n{WRONG_FLAG} if a flag or the name of a config is wrong, and "
    f"{interrupt.INTERRUPTED} after Ctrl-C."
)
HELP = ("--help", "-help", "-h", "-?", "--helpshort", "-helpshort")
OURS = {Path(__file__).parent, ROOT / "experiments"}


def _raised_here(error: BaseException) -> bool:
    """Whether gan_jax raised the error, whose message then needs no traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and not OURS.isdisjoint(Path(frames[-1].filename).parents)


def _unreachable(error: Exception) -> str:
    """Says which path the system refuses to look for; "" if the error is another one.

    `exists`, `is_file` and `is_dir` of pathlib raise such an error, wherever they are
    called with a user's path.
    """
    refusals = (errno.EACCES, errno.ENAMETOOLONG)
    if not isinstance(error, OSError) or error.errno not in refusals:
        return ""
    if traceback.extract_tb(error.__traceback__)[-1].name != "stat":
        return ""
    return (
        f"{error.filename} cannot be reached: {error.strerror}; give another path, or "
        "make the folders above it readable."
    )


def _is_worth_showing(record: standard_logging.LogRecord) -> bool:
    """Keeps gan_jax's log lines and the warnings of other libraries.

    Orbax's warnings are dropped, since it reports every step that it takes. Its errors
    reach gan_jax as exceptions. JAX's warnings about devices that it cannot use are
    dropped too, since a run says which devices it uses.
    """
    path = Path(record.pathname)
    if not OURS.isdisjoint(path.parents):
        return True
    is_quiet = "orbax" in path.parts or path.match("jax/_src/xla_bridge.py")
    return record.levelno >= standard_logging.WARNING and not is_quiet


class _Plain(standard_logging.Formatter):
    """Formats the time and the message; warnings and errors show their level too."""

    def format(self, record: standard_logging.LogRecord) -> str:
        level = ""
        if record.levelno >= standard_logging.WARNING:
            level = f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{record.getMessage()}"


def _exit(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _value(flag: flags.Flag[Any]) -> str:
    """How a flag's value is written in the help, such as =N for a number."""
    if flag.boolean:
        return ""
    if isinstance(flag, flags.EnumFlag):
        return "=" + "|".join(flag.parser.enum_values)
    return "=" + {"int": "N", "float": "X"}.get(flag.flag_type(), "TEXT")


def _describe(flag: flags.Flag[Any]) -> str:
    """A flag's lines in the help: its name, what it does, its range and default."""
    # absl lists enums before the help, and says of lists that they may be repeated.
    sentences = [re.sub(r"^<.*?>: |;\s+repeat this option.*", "", flag.help or "")]
    low, high = (
        getattr(flag.parser, bound, None) for bound in ("lower_bound", "upper_bound")
    )
    if low is not None:
        most = "" if high is None else f" and at most {high:,}"
        sentences.append(f"It is at least {low}{most}.")
    if flag.default not in (None, "", False, []):
        default = str(flag.default).lower() if flag.boolean else flag.default
        sentences.append(f"The default is {default}.")
    words = textwrap.fill(" ".join(sentences), 80)
    name = f"--{'[no]' if flag.boolean else ''}{flag.name}{_value(flag)}"
    return f"  {name}\n{textwrap.indent(words, '      ')}"


def help_text() -> str:
    """What --help prints: the command's docstring, its own flags and exit statuses."""
    described = sys.modules["__main__"].__doc__ or ""
    found = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    named = flags.FLAGS.flags_by_module_dict().get(sys.argv[0], [])
    own = sorted(found, key=lambda flag: flag in named)  # what commands share is first
    parts = [
        described.strip(),
        STATUSES,
        "Flags of this command (--helpfull lists those of the libraries too):",
        *(_describe(flag) for flag in own),
    ]
    return "\n\n".join(parts)


def _unknown_field(argv: list[str], error: Exception) -> str:
    """Says which override names no field, from the message of ml_collections."""
    text = str(error.args[0])
    near = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
    nearest = f"did you mean {near[1]}? " if near else ""
    quoted = re.findall(r"'(\w+)", text)
    name = near[2] if near else quoted[0] if quoted else text
    found = [word for word in argv if re.search(rf"\.{name}\b", word.split("=")[0])]
    return (
        f"{found[0] if found else name} sets a field that the config does not have: "
        f"{nearest}configs/default.py lists every field."
    )


def _whole_section(error: Exception) -> str:
    """Says which override sets a whole section; "" if the error is another one."""
    found = re.match(
        r"flag (--config\.([\w.]+)=.*): Failed to parse .* as a", str(error)
    )
    if not found:
        return ""
    override, path = found.groups()
    section = functools.reduce(getattr, path.split("."), flags.FLAGS["config"].value)
    # A field called name is the clearest example, and the nearest one.
    example = min(
        _fields(section, path),
        key=lambda field: (not field[0].endswith(".name"), field[0].count(".")),
        default=None,
    )
    such_as = f", such as --config.{example[0]}={example[1]}" if example else ""
    return (
        f"{override} sets {path}, which is a section of the config: set one of its "
        f"fields{such_as}."
    )


def _fields(section: ConfigDict, path: str) -> Iterator[tuple[str, Any]]:
    """The paths and values of the fields of a section and of the sections in it."""
    for name, value in section.items():
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", value


def _shipped_configs() -> Path:
    """The folder of the configs that came with this gan_jax."""
    installed = ROOT / "gan_jax_configs"  # setup.cfg gives the package this name
    return installed if installed.is_dir() else ROOT / "configs"


def _find_config(value: str) -> str:
    """The path that a config's name stands for: dcgan:paper is configs/dcgan.py:paper.

    A name is looked up in the folder configs/ of the current directory first, and then
    among the shipped configs. The path of a file is returned unchanged.
    """
    name, colon, preset = value.partition(":")
    if re.fullmatch(r"\w+", name):
        for folder in (Path("configs"), _shipped_configs()):
            if os.path.isfile(folder / f"{name}.py"):  # Path.is_file may raise
                return f"{folder / name}.py{colon}{preset}"
    if os.path.isfile(name):
        return value
    known = {path.stem for path in _shipped_configs().glob("*.py")} - {"default"}
    near = difflib.get_close_matches(Path(name).stem, known, n=1, cutoff=0.4)
    _exit(
        f"there is no config {name}"
        + (f" (did you mean {near[0]}?)" if near else "")
        + ": give the path of a file as --config, or one of the names "
        f"{', '.join(sorted(known))}.",
        WRONG_FLAG,
    )


def _make_configs_importable(first: Path) -> None:
    """Makes `from configs import default` find the configs here and the shipped ones.

    The shipped configs are installed as the package gan_jax_configs, since a package
    named configs would collide with other projects. Every config, also a user's,
    imports the default config by the name that it has in the repository.

    Args:
      first: folder that is searched first if it is one of the two folders.
    """
    folders = sorted((Path("configs"), _shipped_configs()), key=lambda x: x != first)
    spec = importlib.machinery.ModuleSpec("configs", None, is_package=True)
    spec.submodule_search_locations = [str(folder.absolute()) for folder in folders]
    sys.modules["configs"] = importlib.util.module_from_spec(spec)


def shipped_configs() -> dict[str, ConfigDict]:
    """The configs that came with this gan_jax, by the name that --config takes.

    A preset has a name with a colon. The config `default` is the first.
    """
    folder = _shipped_configs()
    _make_configs_importable(folder)
    names = sorted(path.stem for path in folder.glob("*.py"))
    found = {}
    for name in sorted(names, key=lambda name: name != "default"):
        module = importlib.import_module(f"configs.{name}")
        found[name] = module.get_config()
        for preset in getattr(module, "PRESETS", ()):
            found[f"{name}:{preset}"] = module.get_config(preset)
    return found


def _find_configs(argv: list[str]) -> list[str]:
    """The command line with the path of a config where --config gives its name."""
    words = list(argv)
    for index, word in enumerate(words[1:], start=1):
        flag, equals, value = word.partition("=")
        if flag in ("--config", "-config") and equals:
            value = _find_config(value)
            words[index] = f"{flag}={value}"
        elif words[index - 1] in ("--config", "-config"):
            value = words[index] = _find_config(word)
        else:
            continue
        _make_configs_importable(Path(value.partition(":")[0]).parent)
    return words


def _expand_home(argv: list[str]) -> list[str]:
    """The command line with the home folder where a flag's path begins with ~.

    A shell leaves the ~ of --workdir=~/run as it is. Fields of a config keep theirs:
    what reads them expands it, and config.json then has no user's name.
    """
    pattern = re.compile(r"(--?\w+=)(~(?:/.*)?)", re.DOTALL)
    matches = [pattern.fullmatch(word) for word in argv]
    return [
        match[1] + os.path.expanduser(match[2]) if match else word
        for match, word in zip(matches, argv, strict=True)
    ]


def _parse(argv: list[str]) -> list[str]:
    if not {*HELP}.isdisjoint(argv):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `head` closes the pipe
        print(help_text())
        sys.exit(0)
    argv = _expand_home(argv)
    if "config" in flags.FLAGS:
        argv = _find_configs(argv)
    try:
        rest = flags.FLAGS(argv)
    except SystemExit:  # absl has printed what --helpfull asked for, and exits with 1
        sys.exit(0)
    except flags.Error as error:
        raised = re.findall(r"^ValueError: (.*)$", str(error), re.MULTILINE)
        if raised:  # the config file raised it; ml_collections inserts a traceback
            _exit(raised[-1], WRONG_FLAG)
        section = _whole_section(error)
        if section:
            _exit(section, WRONG_FLAG)
        missing = re.match(r"flag --(\w+)=None: .*must have a value", str(error))
        if missing:
            _exit(f"--{missing[1]} is missing; --help says what it is.", WRONG_FLAG)
        _exit(
            f"{error}; --help lists the flags, configs/default.py the fields.",
            WRONG_FLAG,
        )
    except (AttributeError, KeyError) as error:
        _exit(_unknown_field(argv, error), WRONG_FLAG)
    if len(rest) > 1:
        _exit(
            f"unexpected argument {rest[1]!r}: flags are written --name=value.",
            WRONG_FLAG,
        )
    return rest


def config_filename() -> str:
    """The value of --config: the path of a file, perhaps with a colon and a preset.

    Raises:
      ValueError: the flag --config is missing.
    """
    if flags.FLAGS["config"].value is None:
        raise ValueError("no config was given; name one, for example --config=dcgan.")
    return config_flags.get_config_filename(flags.FLAGS["config"])


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags and calls main, which may return the exit status.

    A user's mistake exits with status 1, or 2 if a flag or a config's name is wrong,
    and Ctrl-C with 130.

    A ValueError or OSError that gan_jax itself raised is printed as one sentence, and
    so is a path that the system refuses to look for. Any other error is a bug and keeps
    its traceback. With --verbosity=1 every error does.
    """

    def guarded(argv: list[str]) -> None:
        del argv
        everything = logging.get_verbosity() > logging.INFO
        if not everything:
            logging.get_absl_handler().addFilter(_is_worth_showing)
            logging.get_absl_handler().setFormatter(_Plain())
        try:
            status = main()
        except KeyboardInterrupt:
            interrupt.leave()
        except (ValueError, OSError) as error:
            message = str(error) if _raised_here(error) else _unreachable(error)
            if everything or not message:
                raise
            _exit(message, MISTAKE)
        if status:
            sys.exit(status)

    interrupt.install()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow prints notices
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # and one about this option
    logging.set_verbosity(logging.INFO)
    app.run(guarded, flags_parser=_parse)
