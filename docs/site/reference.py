"""The pages of the reference: public Python names from their docstrings, and tables from what the package itself reads."""

import functools
import importlib
import inspect
from dataclasses import dataclass

from docs.site import tables
from rbt_ray.compat.ray_tune import unsupported
from rbt_ray.errors import NotSupportedError

MODULES = {
    "rbt_ray": "rbt_ray",
    "rbt_ray.objectives": "Built-in objectives",
    "rbt_ray.analysis": "Statistics",
    "rbt_ray.errors": "Errors",
    "rbt_ray.bench": "Benchmarks",
    "rbt_ray.adapters.backtesting": "backtesting.py",
    "rbt_ray.adapters.bt": "bt",
    "rbt_ray.adapters.pandas": "pandas",
    "rbt_ray.adapters.rustybt": "RustyBT",
    "rbt_ray.adapters.vectorbt": "vectorbt",
    "rbt_ray.adapters.zipline": "zipline",
    "rbt_ray.compat.rustybt": "RustyBT's optimizer",
    "rbt_ray.tune": "Ray Tune",
    "rbt_ray.tune.logger": "Ray Tune: loggers",
    "rbt_ray.tune.schedulers": "Ray Tune: schedulers",
    "rbt_ray.tune.search": "Ray Tune: searchers",
    "rbt_ray.tune.stopper": "Ray Tune: stoppers",
}
"""The public modules, each with the title of its page."""


@dataclass(frozen=True)
class Page:
    """A generated page: where it is on the site, its title and its Markdown."""

    path: str
    title: str
    text: str


@functools.cache
def pages():
    """Returns all pages of the reference, in the order of the navigation."""
    generated = [
        Page("reference/metrics.md", "Metrics", tables.metrics()),
        Page("reference/study_file.md", "Study files", tables.study_file()),
        Page("reference/commands.md", "Commands", tables.commands()),
        Page("reference/environment.md", "Environment variables", tables.environment()),
    ]
    modules = [Page(f"reference/{name}.md", title, _module(name)) for name, title in MODULES.items()]
    return (*generated, *modules)


def names_of(module):
    """Returns the names that a public module lists, or else defines."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return sorted(name for name in listed if name == "__version__" or not name.startswith("_"))


def _module(name):
    """Returns a module's page. Each name has the anchor ``module.name``, wherever it is defined."""
    module = importlib.import_module(name)
    parts = [f"# {MODULES[name]}\n\n`{name}`: {inspect.getdoc(module)}"]
    parts += [f'<a id="{name}.{one}"></a>\n\n{_entry(name, one, getattr(module, one))}' for one in names_of(module)]
    return "\n\n".join(parts) + "\n"


def _entry(module, name, value):
    if name == "__version__":
        return f"## {name}\n\nThe version of rbt_ray, a string."
    if inspect.ismodule(value):
        return f"## {name}\n\nThe module [{value.__name__}]({value.__name__}.md)."
    if (why := _why_unsupported(value)) is not None:
        return f"## {name}\n\n{why}"
    path = f"{value.__module__}.{value.__qualname__}"
    described = _first_listing()[path]
    if described != module:
        return f"## {name}\n\nSee [{described}.{name}]({described}.md#{path})."
    return f"::: {path}"


@functools.cache
def _first_listing():
    """Returns the first public module that lists a name, by the name's own path."""
    first = {}
    for module in map(importlib.import_module, MODULES):
        for value in (getattr(module, name) for name in names_of(module)):
            if hasattr(value, "__qualname__"):
                first.setdefault(f"{value.__module__}.{value.__qualname__}", module.__name__)
    return first


def _why_unsupported(value):
    """Returns the error of a name of Ray Tune that is only there to name the alternative, or None for any other name."""
    if not (hasattr(value, "instead") or value.__module__ == unsupported.__name__):
        return None
    try:
        value()
    except NotSupportedError as error:
        return str(error)
    raise AssertionError(f"{value} is supported")
