"""Tables of the reference, from the tables that the package itself reads: metrics, study files, commands, environment variables."""

import dataclasses
import inspect
import re

import typer

from rbt_ray import objectives
from rbt_ray.cli import study_file as study_files
from rbt_ray.cli.main import app
from rbt_ray.compat.rustybt.config import VARIABLES as RUSTYBT_VARIABLES
from rbt_ray.pool.local.start_method import VARIABLE as START_METHOD
from rbt_ray.search.registry import settings_class
from rbt_ray.simulate import metrics as metric_table
from rbt_ray.study import space
from rbt_ray.tuner.config import RunConfig, TuneConfig

_TOP_KEYS = {
    "name": "The study's name, and its folder below `storage_path`. Default: the file's name without its ending.",
    "objective": 'A built-in objective such as `"sma_cross"`, or a function as `"my_module:my_objective"`. Modules are '
    "imported from the file's folder and from `PYTHONPATH`. Required.",
    "objective_options": "A table of options of a built-in objective, below.",
    "bundle": "The name of a bundle. Required for built-in objectives, and for yours if it uses `data`.",
    "space": "A table of parameters, each with a domain, below. Required.",
    "search": "A table of what to search, below.",
    "run": "A table of how to run the study, below.",
}
_SETTINGS = (
    ("search_alg", "bohb"),
    ("scheduler", "hyperband"),
    ("scheduler", "successive_halving"),
    ("scheduler", "asha"),
    ("scheduler", "median"),
)
_UNITS = {
    "share": "share: 0.01 is 1 %",
    "ratio": "ratio, without a unit",
    "per year": "a year, in units of the equity",
    "count": "count",
    "number": "number, without a unit",
}
ENVIRONMENT = {
    "RBT_RAY_HOME": "The folder for bundles, the journals of studies at a URI, and caches. Default: the user's data and "
    "cache folders, such as `~/.local/share/rbt_ray` and `~/.cache/rbt_ray`.",
    START_METHOD: 'How local workers start: `"forkserver"` (the default on Linux), `"spawn"` (the default elsewhere) or `"fork"`.',
    "RAY_ADDRESS": 'With `backend="auto"`, a process that has it joins this Ray cluster.',
    "RAY_JOB_ID": "Ray sets it in a submitted job, whose study then runs on that cluster.",
    "RAY_JOB_CONFIG_JSON_ENV_VAR": "As `RAY_JOB_ID`.",
    "RAY_AUTH_MODE": 'Whether Ray requires a token: `"token"` (the default) or `"disabled"`. See [security](../SECURITY.md).',
    "RAY_TMPDIR": "Where a Ray that rbt_ray starts keeps its folder.",
    "TMPDIR": "As `RAY_TMPDIR`, on Linux, if that is not set. Default: `/tmp`.",
    "RAY_RUNTIME_ENV_PLUGINS": "If it is set, `runtime_env` may have keys that Ray itself does not know.",
    "RAY_CHDIR_TO_TRIAL_DIR": '`"0"` keeps trainables of Ray Tune in the working directory, instead of the trial\'s folder.',
    "MLFLOW_TRACKING_TOKEN": "The MLflow logger of `rbt_ray.tune` sets it from its argument `tracking_token`.",
    "KUBERNETES_SERVICE_HOST": "Kubernetes sets it. A message about a study that would be lost with its pod depends on it.",
    "PYTHONDONTWRITEBYTECODE": "If it is set, each start takes seconds longer; `rbt-ray doctor` warns about it.",
}
"""What each environment variable does that rbt_ray reads, besides those of `rbt_ray.compat.rustybt`."""


def metrics():
    """Returns the page of all metrics."""
    return f"""# Metrics

The metrics of a `Backtest` and of built-in objectives. In the definitions, `r` are the `n` returns per bar, `m` is their mean,
`s` their sample deviation (`ddof=1`), `E` the running product of `1 + r` (an array of `n` values), and `P` the bars in a year
(`data.periods_per_year`). Every bar counts, including those before the first trade. A ratio without a denominator is NaN.

{_metrics_table(metric_table.METRICS)}

`rbt.backtest(..., benchmark=...)` adds metrics relative to a benchmark: `b` are its returns per bar, and `f` those of cash
(`risk_free`).

{_metrics_table(metric_table.BENCHMARK_METRICS)}

An objective may return any other number under a name of its own: `TuneConfig(metric="my_metric")` then optimizes it.
"""


def _metrics_table(table):
    better = {"max": "more", "min": "less", None: "-"}
    rows = [
        (
            f"`{m.name}`",
            f"`{m.formula}`" if ":" not in m.formula else _with_code(m.formula),
            _UNITS[m.unit],
            better[m.better],
        )
        for m in table
    ]
    return _table(("metric", "definition", "unit", "better"), rows)


def _with_code(formula):
    code, _, text = formula.partition(": ")
    return f"`{code}`: {text}" if re.search(r"[=\[(*/]", code) else formula


def study_file():
    """Returns the page of all keys of a study file."""
    domains = [
        (
            f"`{name}`",
            f"`{{ {name} = [{', '.join(inspect.signature(getattr(space, name)).parameters)}] }}`",
            _summary(getattr(space, name)),
        )
        for name in study_files.PRIMITIVES
    ]
    builtin = [(f"`{name}`", _summary(getattr(objectives, name))) for name in objectives.BUILTIN]
    texts = _arguments(objectives.sma_cross)  # all built-in objectives have its options
    options = [
        (f"`{option}`", _default(parameter.default), texts[option])
        for option, parameter in inspect.signature(objectives.sma_cross).parameters.items()
    ]
    settings = [(key, name, settings_class(key, name)) for key, name in _SETTINGS]
    settings += [("validation", name, kind) for name, kind in study_files.VALIDATIONS.items()]
    nested = [
        (
            f"`{key}`",
            f"`{name}`",
            f"`{field.name}`",
            _default(_field_default(field)),
            _arguments(kind).get(field.name, ""),
        )
        for key, name, kind in settings
        for field in dataclasses.fields(kind)
    ]
    top = [(f"`{key}`", _TOP_KEYS[key]) for key in study_files.KEYS[""]]
    return f"""# Study files

`rbt-ray run STUDY.toml` runs the study that a TOML file defines. All keys:

{_table(("key", "what it says"), top)}

## [space]

A parameter is a domain, a fixed value, or a table of parameters.

{_table(("domain", "in the file", "what it draws"), domains)}

## [search]

The keys of `rbt.TuneConfig`.

{_fields(TuneConfig, study_files.KEYS["search"])}

`search_alg`, `scheduler` and `validation` take a name, or a name with settings, as in
`search_alg = {{ bohb = {{ model = "tpe" }} }}`:

{_table(("key", "name", "setting", "default", "what it says"), nested)}

## [run]

The keys of `rbt.RunConfig`, but for `name`, which is at the top of the file, and `callbacks`, which are objects.

{_fields(RunConfig, study_files.KEYS["run"])}

## [objective_options]

The built-in objectives, with the parameters that `[space]` needs:

{_table(("objective", "what it computes"), builtin)}

Their options:

{_table(("option", "default", "what it says"), options)}

Your own function has no options: it gets everything by `params`.
"""


def _fields(kind, keys):
    fields, texts = {field.name: field for field in dataclasses.fields(kind)}, _arguments(kind)
    return _table(
        ("key", "default", "what it says"),
        [(f"`{key}`", _default(_field_default(fields[key])), texts[key]) for key in keys],
    )


def commands():
    """Returns the page of all commands with their arguments and options."""
    parts = ["# Commands\n\nExit codes: 0 done, 1 no trial completed, 2 bad input, 130 interrupted."]
    root = typer.main.get_command(app)
    parts += [_command(words, command) for words, command in _commands(root, "rbt-ray")]
    return "\n\n".join(parts) + "\n"


def _commands(command, words):
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{words} {name}")
    if not hasattr(command, "commands"):
        yield words, command


def _command(words, command):
    rows, placeholders = [], []
    for one in command.params:
        if one.param_type_name == "argument":
            shown = one.metavar or one.name.upper()
            placeholders.append(shown if one.required else f"[{shown}]")
            rows.append((f"`{shown}`", "required" if one.required else "-", getattr(one, "help", None) or ""))
        else:
            rows.append(
                (
                    f"`{', '.join([*one.opts, *one.secondary_opts])}`",
                    _default(None if one.is_flag else one.default),
                    one.help or "",
                )
            )
    usage = " ".join([words, *placeholders])
    return f"## {words}\n\n```text\n{usage} [OPTIONS]\n```\n\n{command.help}\n\n{_table(('argument or option', 'default', 'what it says'), rows)}"


def environment():
    """Returns the page of all environment variables that rbt_ray reads."""
    rustybt = [(f"`{variable}`", f"`OptimizationConfig.{name}`") for name, variable in RUSTYBT_VARIABLES.items()]
    return f"""# Environment variables

{_table(("variable", "what it does"), [(f"`{name}`", text) for name, text in ENVIRONMENT.items()])}

Workers get the driver's variables, except that numerical libraries use one thread: see [workers](../workers.md#what-a-trial-inherits).
Ray reads many more of its own.

`rbt_ray.compat.rustybt` reads RustyBT's variables, each the default of a setting:

{_table(("variable", "setting"), rustybt)}
"""


def _table(headings, rows):
    cells = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in row) + " |" for row in cells)


def _cell(text):
    return " ".join(str(text).split()).replace("``", "`").replace("|", "\\|")


def _default(value):
    if value is None:
        return "-"
    return f"`{value:.4g}`" if isinstance(value, float) else f"`{value!r}`"


def _field_default(field):
    return None if field.default is dataclasses.MISSING else field.default


def _summary(function):
    return inspect.getdoc(function).split("\n\n")[0].removeprefix("Returns ")


def _arguments(function):
    """Returns the text of each argument in the section "Args" of a docstring."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.getdoc(function) or "", re.DOTALL | re.MULTILINE)
    parts = re.split(r"^    \*{0,2}(\w+): ", section[1], flags=re.MULTILINE) if section else [""]
    return dict(zip(parts[1::2], parts[2::2], strict=True))
