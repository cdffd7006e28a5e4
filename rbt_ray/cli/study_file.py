"""Reads a study from a TOML file."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray import objectives
from rbt_ray.errors import InputError, ObjectiveError, StudyFileError
from rbt_ray.nearest import nearest
from rbt_ray.search.registry import settings_class
from rbt_ray.simulate.exit_settings import EXITS
from rbt_ray.study import space
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.splits import CPCV, WalkForward

PRIMITIVES = (
    "choice",
    "uniform",
    "quniform",
    "loguniform",
    "randint",
    "qrandint",
    "lograndint",
    "normal",
    "grid_search",
)
KEYS: dict[str, tuple[str, ...]] = {
    "": ("name", "objective", "objective_options", "bundle", "space", "search", "run"),
    "search": tuple(f.name for f in dataclasses.fields(TuneConfig)),
    "run": tuple(f.name for f in dataclasses.fields(RunConfig) if f.name not in ("name", "callbacks")),
}
"""The keys of each table of a study file; those of the file itself under ""."""
VALIDATIONS: dict[str, type[Any]] = {"walk_forward": WalkForward, "cpcv": CPCV}
_LARGEST = 10_000_000
_DEEPEST = 50
_TOO_DEEP = f"nests tables and lists more than {_DEEPEST} levels deep."


@dataclass(frozen=True)
class StudyFile:
    """A parsed study file: the arguments of a Tuner."""

    objective: Any
    bundle: str | None
    param_space: dict[str, Any]
    tune_config: TuneConfig
    run_config: RunConfig


def read_study_file(path: Path, search: Mapping[str, Any], run: Mapping[str, Any]) -> StudyFile:
    """Parses a study file.

    Args:
        path: the file.
        search: values of TuneConfig that override the file's.
        run: values of RunConfig that override the file's.

    Raises:
        StudyFileError: a key is unknown or missing, or has a wrong type; names the key and suggests a known one.
    """
    page = _parse(path)
    _check_keys(path, "", page)
    for part in ("objective", "space"):
        if part not in page:
            raise StudyFileError(f"{path}: `{part}` is missing.")
    for part in ("name", "objective", "bundle"):
        _check_type(path, part, page.get(part), str)
    for part in ("objective_options", "space", "search", "run"):
        _check_type(path, part, page.get(part), dict)
    _check_keys(path, "search", page.get("search", {}))
    _check_keys(path, "run", page.get("run", {}))
    try:
        return StudyFile(
            objective=load_objective(page["objective"], page.get("objective_options", {}), path.parent),
            bundle=page.get("bundle"),
            param_space=_space(page["space"], "space"),
            tune_config=TuneConfig(**{**_with_settings(page.get("search", {})), **search}),
            run_config=RunConfig(**{"name": page.get("name", path.stem), **page.get("run", {}), **run}),
        )
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _with_settings(search: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the [search] table; ``search_alg = { bohb = { model = "tpe" } }`` becomes a searcher with settings."""
    made = dict(search)
    for key in ("search_alg", "scheduler", "validation"):
        value = search.get(key)
        if not isinstance(value, dict):
            continue
        if len(value) != 1 or not isinstance(options := next(iter(value.values())), dict):
            raise StudyFileError(
                f"`search.{key}` is a name, or a name with settings as in {{ name = {{ ... }} }}; got {value!r}."
            )
        name = next(iter(value))
        try:
            kind = _validation_class(name) if key == "validation" else settings_class(key, name)
        except InputError as error:
            raise StudyFileError(f"`search.{key}`: {error}") from error
        known = [f.name for f in dataclasses.fields(kind)]
        for option in options:
            if option not in known:
                raise StudyFileError(f"`search.{key}`: {name} has no setting {option!r}; {nearest(option, known)}")
        made[key] = kind(**options)
    return made


def _validation_class(name: str) -> type[Any]:
    if name not in VALIDATIONS:
        raise StudyFileError(f"there is no validation {name!r}; {nearest(name, VALIDATIONS)}")
    return VALIDATIONS[name]


def load_objective(address: str, options: Mapping[str, Any], folder: Path) -> Any:
    """Loads a built-in objective by name, or a function by ``module:function``.

    Args:
        address: "sma_cross", or "my_module:my_objective".
        options: arguments of a built-in objective, such as ``turnover_bps``.
        folder: a folder to import modules from, in addition to the usual ones.

    Raises:
        ObjectiveError: there is no such objective, or it does not accept these options.
    """
    if ":" not in address:
        return _builtin(address, options)
    module_name, _, name = address.partition(":")
    if options:
        raise ObjectiveError(
            f"`objective_options` work only with built-in objectives; {address!r} is your own function."
        )
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may be a script that exits
        raise ObjectiveError(
            f"`objective` {address!r} cannot be imported: {type(error).__name__}: {error}. "
            f"Modules are imported from the study file's folder and from PYTHONPATH."
        ) from error
    objective: Any = module
    for part in name.split("."):
        if not hasattr(objective, part):
            functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
            raise ObjectiveError(f"`objective` {address!r}: {module_name} has no {name!r}; {nearest(name, functions)}")
        objective = getattr(objective, part)
    return objective


def _builtin(name: str, options: Mapping[str, Any]) -> Any:
    if name not in objectives.BUILTIN:
        raise ObjectiveError(
            f"`objective` is a built-in objective or 'module:function'; got {name!r}: {nearest(name, objectives.BUILTIN)}"
        )
    factory = getattr(objectives, name)
    known = [*inspect.signature(factory).parameters, *EXITS]
    for option in options:
        if option not in known:
            raise ObjectiveError(f"`objective_options.{option}`: {name} has no such option; {nearest(option, known)}")
    exits = {key: value for key, value in options.items() if key in EXITS}
    own = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items() if key not in exits}
    return objectives.with_exits(factory(**own), **exits) if exits else factory(**own)


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        page = tomllib.loads(text)
    except RecursionError:
        raise StudyFileError(f"{path} {_TOO_DEEP}") from None
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        raise StudyFileError(f"{path} is not TOML: {error}.") from None
    _check_extent(path, page, _DEEPEST)
    return page


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)  # a device never ends
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise StudyFileError(f"the study file {path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path} cannot be read: {error}.") from None
    if len(content) > _LARGEST:
        raise StudyFileError(f"{path} is not a study file: it has more than {_LARGEST:,} bytes.")
    return text


def _check_extent(path: Path, value: Any, levels: int) -> None:
    """Refuses integers beyond 64 bits and deep nesting, which the parser accepts but messages cannot show."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise StudyFileError(f"{path} is not TOML: integers must be between -2**63 and 2**63 - 1.")
    if isinstance(value, (dict, list)):
        if not levels:
            raise StudyFileError(f"{path} {_TOO_DEEP}")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_extent(path, inner, levels - 1)


def _space(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: _domain(value, f"{where}.{name}") for name, value in table.items()}


def _domain(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        return value
    primitives = [key for key in value if key in (*PRIMITIVES, "fixed")]
    if not primitives:
        near = [key for key, inner in value.items() if isinstance(inner, list)]
        if near:
            raise StudyFileError(f"`{where}`: {near[0]!r} is not a domain; {nearest(near[0], PRIMITIVES)}")
        return _space(value, where)
    kind = primitives[0]
    arguments = value[kind]
    if len(value) > 1 or not isinstance(arguments, list):
        raise StudyFileError(f"`{where}` must be like {{ randint = [5, 60] }}; got {value!r}.")
    make = getattr(space, kind)
    try:
        return make(arguments) if kind in ("choice", "grid_search", "fixed") else make(*arguments)
    except InputError as error:
        raise StudyFileError(f"`{where}`: {error}") from None
    except TypeError:
        wanted = ", ".join(inspect.signature(make).parameters)
        raise StudyFileError(f"`{where}`: {kind} takes [{wanted}]; got {arguments!r}.") from None


def _check_keys(path: Path, where: str, table: Mapping[str, Any]) -> None:
    for key in table:
        if key in KEYS[where]:
            continue
        inside = f" in [{where}]" if where else ""
        for other, known in KEYS.items():
            if key in known:
                there = f"in [{other}]" if other else "at the top of the file, before the first table"
                raise StudyFileError(f"{path}: unknown key `{key}`{inside}; it belongs {there}.")
        raise StudyFileError(f"{path}: unknown key `{key}`{inside}; {nearest(key, KEYS[where])}")


def _check_type(path: Path, part: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        wanted = "a table" if kind is dict else "a string"
        raise StudyFileError(f"{path}: `{part}` must be {wanted}; got {value!r}.")
