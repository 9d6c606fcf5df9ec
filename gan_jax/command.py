"""What every command shares: flags that are read strictly, errors in one sentence."""

from collections.abc import Callable
import logging as standard_logging
import os
from pathlib import Path
import re
import sys
import traceback
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

OURS = {Path(__file__).parent, Path(__file__).parent.parent / "experiments"}


def _raised_here(error: BaseException) -> bool:
    """Whether our own code raised the error, which then says all there is to say."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and not OURS.isdisjoint(Path(frames[-1].filename).parents)


def _is_worth_showing(record: standard_logging.LogRecord) -> bool:
    """Keeps our own log lines and other libraries' warnings.

    Except orbax's, which tells of every step it takes; its errors reach us as errors.
    """
    path = Path(record.pathname)
    if not OURS.isdisjoint(path.parents):
        return True
    return record.levelno >= standard_logging.WARNING and "orbax" not in path.parts


def _exit(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


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


def _parse(argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raised = re.findall(r"^ValueError: (.*)$", str(error), re.MULTILINE)
        if raised:  # by the config file; ml_collections puts the traceback in between
            _exit(raised[-1], 2)
        _exit(f"{error}; --help lists the flags, configs/default.py the fields.", 2)
    except (AttributeError, KeyError) as error:
        _exit(_unknown_field(argv, error), 2)
    if len(rest) > 1:
        _exit(f"unexpected argument {rest[1]!r}: flags are written --name=value.", 2)
    return rest


def config_filename() -> str:
    """What --config names: the path of a file, and perhaps a colon and a preset.

    Raises:
      ValueError: nothing was given, or there is no such file.
    """
    if flags.FLAGS["config"].value is None:
        raise ValueError(
            "no config was given; name one, for example --config=configs/dcgan.py."
        )
    filename = config_flags.get_config_filename(flags.FLAGS["config"])
    path = Path(filename.partition(":")[0])
    if not path.is_file():
        known = ", ".join(str(other) for other in sorted(path.parent.glob("*.py")))
        raise ValueError(
            f"there is no config file {path}; give one as --config"
            + (f", here: {known}." if known else ".")
        )
    return filename


def run(main: Callable[[], Any]) -> None:
    """Parses the flags and calls main; a user's mistake exits with code 1 or 2.

    A ValueError or OSError that gan_jax itself raised is printed as one sentence. Any
    other error is a bug and keeps its traceback, as all do with --verbosity=1.
    """

    def guarded(argv: list[str]) -> None:
        del argv
        everything = logging.get_verbosity() > logging.INFO
        if not everything:
            logging.get_absl_handler().addFilter(_is_worth_showing)
        try:
            main()
        except KeyboardInterrupt:
            _exit("interrupted.", 130)
        except (ValueError, OSError) as error:
            if everything or not _raised_here(error):
                raise
            _exit(str(error), 1)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no greetings of TensorFlow
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # nor a notice of this option
    logging.set_verbosity(logging.INFO)
    app.run(guarded, flags_parser=_parse)
