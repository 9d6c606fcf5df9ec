"""Parts from a user's own files: the name `module:name` in a config is imported.

The module is a Python file that is looked up in the working directory first, and then
where Python looks. Importing it executes it. A command that is given such a name
imports it at once. Whoever reads a run's folder has to ask first, since the folder may
come from a stranger; see config_file.check_code.
"""

from collections.abc import Collection, Iterable, Sequence
import hashlib
import importlib
import inspect
import os
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from gan_jax import checks

# Fields that may name such parts, evaluation.metrics several with commas between them.
TRAINED = ("model.name", "data.name", "recipe.loss", "recipe.penalty")
FIELDS = (*TRAINED, "evaluation.metrics", "tracker")
_LONGEST = 200  # characters of a name: file systems refuse names of more than 255
_EXECUTED = "_gan_jax_sha256"  # is set in a module: SHA-256 of the source as executed


def is_named(name: Any) -> bool:
    """Whether a value has the form `module:name`, such as my_nets:pair."""
    module, colon, attribute = str(name).partition(":")
    words = (*module.split("."), attribute)
    is_short = len(str(name)) <= _LONGEST
    return bool(colon) and is_short and all(word.isidentifier() for word in words)


def one_of(names: Collection[str]) -> checks.Range:
    """The range of these names, which are read at each check, and of all own parts."""
    return checks.one_of(names)._replace(
        holds=lambda value: value in names or is_named(value),
        last=", or module:name, which is imported from the working directory",
    )


def names(config: ConfigDict, fields: Iterable[str] = FIELDS) -> list[str]:
    """The names of the form `module:name` in these fields of a config.

    The values need not have been checked.
    """
    found = []
    for field in fields:
        path, _, name = field.rpartition(".")
        section = config.get(path) if path else config
        value = section.get(name) if isinstance(section, ConfigDict) else None
        if isinstance(value, str):
            found += [word for word in value.split(",") if is_named(word)]
    return found


def digests(names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of the source file of each part; nothing is imported.

    For a module that this process has imported, it is that of the source as it was
    then. The digest says nothing about other files that the source imports.

    Raises:
      ValueError: there is no such module.
    """
    return {name: _digest(name.partition(":")[0]) for name in names}


def load(name: str, *, field: str) -> Any:
    """The object `module:name`, whose module is imported if it has not been yet.

    Args:
      name: name of the form `module:name`.
      field: the config's field that has the name, for the messages.

    Raises:
      ValueError: there is no such module or no such name in it, or a module of this
        name was imported from another file.
    """
    module_name, _, attribute = name.partition(":")
    path = _find(module_name)
    module = sys.modules.get(module_name)
    if path is None and not hasattr(module, _EXECUTED):
        raise ValueError(_missing(module_name, f"{field} is {name!r}"))
    if module is None:
        module = _import(module_name)
    file = getattr(module, "__file__", None)
    if path and not (file and path.samefile(file)):
        raise ValueError(
            f"{field} is {name!r}, which stands for {path}, but Python has imported "
            f"the module {module_name} from {file or 'elsewhere'}: give your file "
            f"another name, and set --config.{field} to it."
        )
    if path and not hasattr(module, _EXECUTED):  # the user's script has imported it
        setattr(module, _EXECUTED, _sha256(path))
    if not hasattr(module, attribute):
        public = [word for word in vars(module) if not word.startswith("_")]
        raise ValueError(
            f"{field} is {name!r}, but {file} defines no {attribute!r}"
            f"{checks.nearest(attribute, public)}: define it there, or set "
            f"--config.{field} to module:name with a name that the module has."
        )
    return getattr(module, attribute)


def check_type(part: Any, kind: type, name: str, *, field: str, form: str) -> None:
    """Refuses a part that is no instance of a class.

    Args:
      part: object that was loaded.
      kind: class whose instance it must be.
      name: name of the part.
      field: the config's field that has the name.
      form: how such a part is made, for the message.

    Raises:
      ValueError: the part is no instance of `kind`.
    """
    if not isinstance(part, kind):
        raise ValueError(
            f"{field} is {name!r}, which is {_described(part)}, but must be a "
            f"{kind.__module__}.{kind.__name__}: define it in your module as {form}, "
            f"or set --config.{field} to another name."
        )


def check_call(
    function: Any,
    what: str,
    *,
    field: str,
    positional: Sequence[str],
    keywords: Sequence[str] = (),
) -> None:
    """Refuses a function that cannot be called with the given arguments.

    Args:
      function: function of a part, which is not called.
      what: the function in words, such as "my_loss:loss.generator".
      field: the config's field that names the part.
      positional: names of the arguments that are given by position.
      keywords: names of the arguments that are given by keyword.

    Raises:
      ValueError: the function does not take these arguments, or is no function.
    """
    wanted = ", ".join([*positional, *(f"{word}={word}" for word in keywords)])
    advice = f"change it, or set --config.{field} to another name"
    if not callable(function):
        raise ValueError(
            f"{what} is {_described(function)}, but must be a function that is called "
            f"with ({wanted}): {advice}."
        )
    signature = inspect.signature(function)
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError as error:
        raise ValueError(
            f"{what} has the parameters {signature}, but is called with ({wanted}), "
            f"which gives the error {str(error)!r}: {advice}."
        ) from None


def _described(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{'the class' if kind is value else 'of the type'} {kind.__name__}"


def _find(module_name: str) -> Path | None:
    """The source file of a module, which is not imported; None if there is none."""
    for folder in (os.getcwd(), *sys.path):
        path = Path(folder, *module_name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _missing(module_name: str, found: str) -> str:
    file = module_name.replace(".", "/") + ".py"
    return (
        f"{found}, but there is no {file} in the working directory {os.getcwd()}, nor "
        "where Python looks for modules: run the command in the folder that has the "
        "file, or set the name to module:name of another one."
    )


def _import(module_name: str) -> ModuleType:
    """The module, imported with the working directory first on Python's path."""
    folder, path = os.getcwd(), _find(module_name)
    assert path is not None
    before = _sha256(path)
    importlib.invalidate_caches()  # the file may have been written just now
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    finally:
        sys.path.remove(folder)
    setattr(module, _EXECUTED, before)
    return module


def _digest(module_name: str) -> str:
    module = sys.modules.get(module_name)
    if module is not None and hasattr(module, _EXECUTED):
        return str(getattr(module, _EXECUTED))
    path = _find(module_name)
    if path is None:
        raise ValueError(
            _missing(module_name, f"the module {module_name} is asked for")
        )
    return _sha256(path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
