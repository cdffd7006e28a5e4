"""The public names and their signatures are those of `tests/data/public_names.json`.

After a deliberate change: ``python -m tests.test_public_names`` writes the file again.
"""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rbt_ray.cli.main import app

RECORDED = Path(__file__).parent / "data" / "public_names.json"
MODULES = (
    "rbt_ray",
    "rbt_ray.analysis",
    "rbt_ray.bench",
    "rbt_ray.compat.rustybt",
    "rbt_ray.errors",
    "rbt_ray.objectives",
    "rbt_ray.tune",
    "rbt_ray.tune.logger",
    "rbt_ray.tune.schedulers",
    "rbt_ray.tune.search",
    "rbt_ray.tune.stopper",
)
ADAPTERS = ("backtesting", "bt", "pandas", "rustybt", "vectorbt", "zipline")


def signature(value):
    """A callable's parameters with their kinds and defaults; annotations are left out, as they name modules."""
    if inspect.ismodule(value):
        return "module"
    if not callable(value):
        return type(value).__name__
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return "callable"
    return [str(one.replace(annotation=one.empty)) + f" ({one.kind.description})" for one in parameters]


def described(value):
    """The signature of a value and, of a class, of its public methods and properties."""
    if not inspect.isclass(value):
        return signature(value)
    members = {
        name: "property" if isinstance(member, property) else signature(getattr(value, name))
        for name, member in inspect.getmembers_static(value)
        if not name.startswith("_")
    }
    return {"()": signature(value), **members}


def names_of(module):
    """The public names that a module defines or lists."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return sorted(name for name in listed if name == "__version__" or not name.startswith("_"))


def commands():
    """Each command of the command line with its options and arguments."""

    def walk(command, words):
        if subcommands := getattr(command, "commands", None):
            for name, one in subcommands.items():
                yield from walk(one, [*words, name])
        else:
            parameters = [
                {
                    "name": one.name,
                    "options": sorted([*one.opts, *one.secondary_opts]),
                    "required": one.required,
                    "default": repr(one.default),
                }
                for one in command.params
            ]
            yield " ".join(words), parameters

    return dict(walk(typer.main.get_command(app), []))


def public_names():
    """Everything that users import or type, by module."""
    found = {}
    for name in (*MODULES, *(f"rbt_ray.adapters.{one}" for one in ADAPTERS)):
        module = importlib.import_module(name)
        found[name] = {one: described(getattr(module, one)) for one in names_of(module)}
    return {"modules": found, "commands": commands()}


EXPECTED = json.loads(RECORDED.read_text()) if RECORDED.exists() else {"modules": {}, "commands": {}}


@pytest.fixture(scope="module")
def found():
    return json.loads(json.dumps(public_names()))


@pytest.mark.parametrize("module", EXPECTED["modules"])
def test_each_public_name_is_found_with_its_signature(module, found):
    for name, expected in EXPECTED["modules"][module].items():
        assert found["modules"][module].get(name) == expected, f"{module}.{name}"


@pytest.mark.parametrize("command", EXPECTED["commands"])
def test_each_command_has_its_options(command, found):
    assert found["commands"].get(command) == EXPECTED["commands"][command]


@pytest.mark.parametrize("module", ["logger", "schedulers", "search", "stopper"])
def test_modules_of_tune_are_attributes(module):
    code = f"from rbt_ray import tune; print(tune.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [f"rbt_ray.tune.{module}"], done.stderr


def test_every_adapter_is_listed():
    import rbt_ray.adapters as adapters

    files = [file for folder in adapters.__path__ for file in Path(folder).glob("*.py")]
    assert set(ADAPTERS) >= {file.stem for file in files if "\ndef objective(" in file.read_text()}


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(public_names(), indent=1) + "\n")
