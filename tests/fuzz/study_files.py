"""TOML study files: parses them, creates a Tuner, and proposes the first configs."""

import json
import tempfile
import warnings
from pathlib import Path

from hypothesis import strategies as st

from rbt_ray.cli.study_file import PRIMITIVES, read_study_file
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.registry import make_searcher
from rbt_ray.search.scheduler_registry import scheduler_class, scheduler_names
from rbt_ray.study.study import Study
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.tuner import Tuner
from tests.fuzz.hostile import NUMBERS, SCALARS, TEXTS, VALUES, damaged, refused

_OWN = """
def objective(params, data):
    return 1.0
def no_data(params):
    return 1.0
number = 3
"""
_OBJECTIVES = st.sampled_from(
    [
        "sma_cross",
        "rsi",
        "momentum",
        "mine_for_fuzzing:objective",
        "mine_for_fuzzing:no_data",
        "mine_for_fuzzing:number",
        "mine_for_fuzzing:objective.__call__",
        "nowhere:x",
        ":",
        "a:",
        ":b",
        "..x:y",
        "exits_for_fuzzing:x",
        "sma_cros",
    ]
)
_TUNE = sorted(TuneConfig.__dataclass_fields__)
_RUN = sorted(set(RunConfig.__dataclass_fields__) - {"callbacks", "storage_path"})
_SETTINGS = st.sampled_from(
    [
        "auto",
        "grid",
        "random",
        "sobol",
        "bohb",
        "tpe",
        "hyperband",
        "asha",
        "successive_halving",
        "median",
        "max",
        "min",
        "prefix",
        "blocks",
        "symbols",
        "reports",
        "sharpe",
        "status",
        "local",
        "2010-01-01",
        "2010",
    ]
)
_domains = st.builds(
    lambda word, arguments: {word: arguments},
    st.sampled_from([*PRIMITIVES, "rnadint"]),
    st.one_of(st.lists(st.one_of(NUMBERS, st.integers(1, 60)), max_size=3), st.lists(VALUES, max_size=4), SCALARS),
)
_likely_domains = st.builds(
    lambda low, width: {"randint": [low, low + width]}, st.integers(1, 50), st.sampled_from([1, 2, 50, 10**12])
)
_spaces = st.dictionaries(
    st.one_of(st.sampled_from(["fast", "slow", "window", "fast/x", "threshold"]), TEXTS),
    st.one_of(_likely_domains, _domains, VALUES),
    max_size=4,
)
_settings = st.one_of(_SETTINGS, NUMBERS, VALUES)
_SETTINGS_CLASSES = {"bohb": BOHB, **{name: scheduler_class(name) for name in scheduler_names()}}
_OPTIONS = {kind: sorted(made.__dataclass_fields__) or ["none"] for kind, made in _SETTINGS_CLASSES.items()}


@st.composite
def _sound_pages(draw):
    """A valid study file."""
    with_bundle = draw(st.booleans())
    page = {
        "objective": draw(st.sampled_from(["sma_cross", "momentum"])) if with_bundle else "mine_for_fuzzing:objective",
        "space": {"fast": draw(_likely_domains), "slow": draw(_likely_domains)},
        "search": {"search_alg": draw(st.sampled_from(["auto", "random", "sobol", "bohb", "grid"])), "seed": 7},
        "run": {"num_workers": 2},
    }
    if with_bundle:
        page["bundle"] = "sample"
        if page["objective"] == "momentum":
            page["space"] = {"lookback": draw(_likely_domains), "threshold": {"choice": [0.0, 0.05]}}
    return page


@st.composite
def _pages(draw):
    """A valid study file with a few malicious values."""
    page = draw(_sound_pages())
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        match draw(st.sampled_from(["search", "search", "search", "space", "space", "run", "top", "searcher"])):
            case "search":
                page["search"][draw(st.sampled_from(_TUNE))] = draw(_settings)
            case "space":
                names = st.one_of(st.sampled_from([*page["space"], "more", "a/b"]), TEXTS)
                page["space"][draw(names)] = draw(st.one_of(_likely_domains, _domains, VALUES))
            case "run":
                page["run"][draw(st.sampled_from(_RUN))] = draw(_settings)
            case "searcher":
                kind, options = draw(st.sampled_from(sorted(_OPTIONS.items())))
                key = "search_alg" if kind == "bohb" else "scheduler"
                page["search"][key] = {kind: draw(st.dictionaries(st.sampled_from(options), _settings, max_size=2))}
            case "top":
                keys = st.sampled_from(
                    ["name", "objective_options", "bundle", "objective", "search", "run", "space", "nmae"]
                )
                page = {**page, draw(keys): draw(st.one_of(_OBJECTIVES, VALUES, _spaces))}
                break  # which may have put anything in place of a table
    return to_toml(page).encode("utf-8", "replace")


_odd = st.sampled_from(
    [
        b"x = " + b"[" * 100_000,
        b"x = " + b"[" * 5_000 + b"]" * 5_000,
        b"x = " + b"{a=" * 5_000,
        b"a." * 5_000 + b"x = 1",
        b"x = 1" + b"0" * 5_000,
        b"seed = 0x" + b"f" * 5_000,
        b'objective = "sma_cross"\nbundle = "sample"\n[space]\nfast = 5\nslow = 20\n[search]\nseed = 0x' + b"f" * 5_000,
        b"x = 9999-99-99",
        b'x = "' + b"a" * 1_000_000,
        b"\xef\xbb\xbfx = 1",
        b"\xff\xfe",
        b"",
    ]
)
CASES = st.one_of(_pages(), _pages(), _pages(), damaged(_pages()), st.binary(max_size=60), _odd)


def to_toml(value):
    """A table as TOML writes it, all of it inline; what TOML has no word for comes out as something it refuses."""
    if isinstance(value, dict):
        return "\n".join(f"{_inline(key)} = {_inline(inner)}" for key, inner in value.items())
    return _inline(value)


def _inline(value):
    match value:
        case bool():
            return str(value).lower()
        case float() if value != value or value in (float("inf"), float("-inf")):
            return repr(value)
        case int() if abs(value) > 10**300:
            return hex(value)
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case dict():
            return "{" + ", ".join(f"{_inline(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    raise TypeError(value)


_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-"))
(_folder / "mine_for_fuzzing.py").write_text(_OWN)
(_folder / "exits_for_fuzzing.py").write_text("import sys\nsys.exit(0)\n")


def check(content):
    path = _folder / "study.toml"
    path.write_bytes(content)
    return refused(lambda: _as_far_as_the_first_configs(path))


def _as_far_as_the_first_configs(path):
    study_file = read_study_file(path, {}, {"storage_path": str(_folder / "studies")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = Tuner(
            study_file.objective,
            param_space=study_file.param_space,
            bundle=study_file.bundle,
            tune_config=study_file.tune_config,
            run_config=study_file.run_config,
        )
        study = tuner.study
        assert Study.from_json(json.loads(json.dumps(study.to_json()))).space.fingerprint == study.space.fingerprint
        searcher = make_searcher(study)
        for _ in range(3):
            if not len(searcher.ask(1)):
                break
    assert not (_folder / "studies").exists(), "a study was begun before it was to run"
    assert not tuner.path.exists()
