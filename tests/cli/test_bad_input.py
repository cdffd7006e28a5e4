"""Bad input gives one error message on stderr and exit code 2, without a traceback and without a study folder."""

import re

import pytest

from rbt_ray.cli.main import run_command

GOOD = """
objective = "sma_cross"
bundle = "sample"
[space]
fast = { randint = [5, 10] }
slow = { randint = [20, 30] }
[search]
num_samples = 5
"""
NOBODY = "s3://key:secret@bucket/x?scheme=http&endpoint_override=127.0.0.1:1&region=us-east-1"
CSV = "date,open,high,low,close,volume\n2020-01-01,10,11,9,10,5\n2020-01-02,10,12,9,11,5\n2020-01-03,11,12,9,11,5\n"


def toml(old="", new="", extra=""):
    assert old in GOOD
    return GOOD.replace(old, new, 1) + extra


STUDIES = {
    "not TOML": ("objective = [", r"study.toml is not TOML"),
    "unknown key": (toml('bundle = "sample"', 'bundel = "sample"'), r"unknown key `bundel`; did you mean 'bundle'\?"),
    "unknown key in search": (
        toml("num_samples", "num_sample"),
        r"unknown key `num_sample` in \[search\].*'num_samples'",
    ),
    "unknown key in run": (toml(extra="[run]\nworkers = 2"), r"unknown key `workers` in \[run\].*'num_workers'"),
    "a key of the file in run": (
        toml(extra='[run]\nname = "a"'),
        r"unknown key `name` in \[run\]; it belongs at the top of the file",
    ),
    "a key of search in run": (
        toml(extra="[run]\nnum_samples = 9"),
        r"`num_samples` in \[run\]; it belongs in \[search\]",
    ),
    "a key of search in the file": (
        toml('bundle = "sample"', "num_samples = 9"),
        r"`num_samples`; it belongs in \[search\]",
    ),
    "no such setting of bohb": (
        toml(extra="search_alg = { bohb = { modle = 'tpe' } }"),
        r"`search.search_alg`: bohb has no setting 'modle'.*'model'",
    ),
    "no such setting of asha": (
        toml(extra="scheduler = { asha = { kind = 'stoping' } }"),
        r"`kind` of ASHA is 'promotion' or 'stopping'",
    ),
    "settings of nothing": (
        toml(extra="scheduler = { ahsa = {} }"),
        r"`search.scheduler`: there are no settings of 'ahsa'.*'asha'",
    ),
    "warm start at no fidelity": (
        toml(extra="warm_start = [[{ fast = 5, slow = 20 }, nan, 1.0]]\nsearch_alg = 'bohb'"),
        r"rows of `warm_start` are",
    ),
    "address of nothing": (toml(extra="[run]\naddress = ''"), r"`address` is of a Ray cluster, such as 'auto'"),
    "an address where nobody listens": (
        toml(extra="[run]\nbackend = 'ray'\naddress = '127.0.0.1:9'"),
        r"`address`: nothing answers at '127.0.0.1:9'",
    ),
    "resources in words": (
        toml(extra="[run]\nbackend = 'ray'\nresources_per_worker = { GPU = 'one' }"),
        r"`resources_per_worker` is amounts above 0 by the names of Ray's resources",
    ),
    "no objective": (toml('objective = "sma_cross"', ""), r"`objective` is missing"),
    "no space": ('objective = "sma_cross"', r"`space` is missing"),
    "objective is a number": (toml('"sma_cross"', "3"), r"`objective` must be a string; got 3"),
    "space is a list": ('objective = "sma_cross"\nspace = [1]', r"`space` must be a table; got \[1\]"),
    "unknown built-in": (toml("sma_cross", "sma_corss"), r"got 'sma_corss': did you mean 'sma_cross'\?"),
    "no such module": (toml("sma_cross", "nowhere:objective"), r"'nowhere:objective' cannot be imported"),
    "no such function": (toml("sma_cross", "mine:objectiv"), r"mine has no 'objectiv'; did you mean 'objective'\?"),
    "module that raises": (toml("sma_cross", "broken:f"), r"'broken:f' cannot be imported: ZeroDivisionError"),
    "objective not callable": (toml("sma_cross", "mine:NUMBER"), r"`objective` is a function of \(params, data\)"),
    "unknown option": (
        toml("[space]", "[objective_options]\nturnover = 5\n[space]"),
        r"objective_options.turnover`.*'turnover_bps'",
    ),
    "negative costs": (toml("[space]", "[objective_options]\nturnover_bps = -5\n[space]"), r"turnover_bps.*-5"),
    "options for a function": (
        toml('"sma_cross"', '"mine:objective"').replace("[space]", "[objective_options]\na = 1\n[space]"),
        r"`objective_options` work only with built-in objectives",
    ),
    "objective of one argument": (toml("sma_cross", "mine:short"), r"function of \(params, data\); short\(params\)"),
    "a parameter missing": (toml("fast = { randint = [5, 10] }", ""), r"`sma_cross` takes `fast`, `slow`; 'fast' is"),
    "a parameter too many": (toml("[search]", "mid = 3\n[search]"), r"`sma_cross` takes.*got an unknown 'mid'"),
    "a fraction for bars": (toml("randint = [5, 10]", "uniform = [5, 10]"), r"`fast` .* whole number of bars.*randint"),
    "a list that is no choice": (toml("{ randint = [5, 10] }", "[5, 10]"), r"`fast` is the list \[5, 10\].*choice"),
    "text for a number": (toml("randint = [5, 10]", 'choice = ["a", "b"]'), r"numbers only, and `fast`"),
    "unknown metric": (toml(extra='metric = "sharp"'), r"no metric 'sharp'; did you mean 'sharpe'\?"),
    "no bundle": (toml('bundle = "sample"', ""), r"`bundle` is missing: sma_cross needs prices"),
    "opens that are not there": (
        toml('"sample"', '"fx"').replace("[space]", '[objective_options]\nexecution = "next_open"\n[space]'),
        r"`execution` is 'next_open', and the bundle has no field \"open\"",
    ),
    "unknown bundle": (toml('"sample"', '"sampel"'), r"sampel.*sample"),
    "no such domain": (
        toml("randint = [5, 10]", "rantint = [5, 10]"),
        r"space.fast`: 'rantint' is not a domain; did you mean 'randint'",
    ),
    "empty range": (toml("[5, 10]", "[10, 5]"), r"space.fast`.*10.*5"),
    "too many bounds": (toml("[5, 10]", "[5, 10, 20, 30]"), r"space.fast`: randint takes \[lower, upper\]"),
    "bounds not a list": (toml("randint = [5, 10]", "randint = 5"), r"space.fast` must be like"),
    "empty choice": (toml("randint = [5, 10]", "choice = []"), r"space.fast`.*choice"),
    "loguniform from zero": (toml("randint = [5, 10]", "loguniform = [0, 10]"), r"space.fast`.*loguniform"),
    "metric not a name": (toml(extra="metric = 3"), r"`metric` is the name of a metric, or a list of names; got 3"),
    "mode": (toml(extra='mode = "maximum"'), r"`mode` is one of max, min; got 'maximum'"),
    "search_alg": (toml(extra='search_alg = "gird"'), r"`search_alg` is one of .*; got 'gird': did you mean 'grid'"),
    "grid over a continuum": (
        toml("randint = [5, 10]", "uniform = [5, 10]") + 'search_alg = "grid"',
        r"fast.*uniform",
    ),
    "no samples": (toml("num_samples = 5", "num_samples = 0"), r"`num_samples` is a whole number of at least 1; got 0"),
    "samples as text": (toml("num_samples = 5", 'num_samples = "5"'), r"`num_samples` is a whole number.*got '5'"),
    "negative seed": (toml(extra="seed = -1"), r"`seed` is a whole number of at least 0; got -1"),
    "holdout above one": (toml(extra="holdout = 1.5"), r"`holdout`.*1\.5"),
    "holdout that leaves nothing": (toml(extra='holdout = "1990-01-01"'), r"`holdout`.*1990"),
    "holdout without a bundle": (
        toml('bundle = "sample"', "", "holdout = 0.2").replace("sma_cross", "mine:objective"),
        r"`holdout` hides the last bars",
    ),
    "time budget": (toml(extra="time_budget_s = -3"), r"`time_budget_s` is a number above 0; got -3"),
    "unknown first point": (toml(extra="points_to_evaluate = [{ fats = 6, slow = 21 }]"), r"fats.*fast"),
    "first point outside": (toml(extra="points_to_evaluate = [{ fast = 60, slow = 21 }]"), r"fast.*60"),
    "no workers": (toml(extra="[run]\nnum_workers = 0"), r"`num_workers` is a whole number of at least 1"),
    "backend": (toml(extra='[run]\nbackend = "lokal"'), r"`backend` is one of .*; got 'lokal': did you mean 'local'"),
    "name with a separator": (
        toml(extra="").replace("objective", 'name = "../out"\nobjective', 1),
        r"`name` is a folder's name",
    ),
    "retries": (toml(extra="[run]\nmax_retries = -1"), r"`max_retries` is a whole number of at least 0"),
    "timeout": (toml(extra="[run]\ntrial_timeout_s = 0"), r"`trial_timeout_s` is a number above 0; got 0"),
    "mirror interval": (toml(extra="[run]\nmirror_interval_s = 0"), r"`mirror_interval_s` is a number above 0; got 0"),
    "metrics port": (
        toml(extra="[run]\nmetrics_port = 0"),
        r"`metrics_port` is a whole number of at least 1 and at most 65535",
    ),
    "storage at an unknown kind of URI": (
        toml(extra='[run]\nstorage_path = "s4://bucket/x"'),
        r"s4://bucket/x/study is no URI that can be used: Unrecognized filesystem",
    ),
    "storage that cannot be reached": (
        toml(extra=f'[run]\nstorage_path = "{NOBODY}"'),
        r"rbt-ray: s3://bucket/x/study\?.* cannot be reached",
    ),
    "storage below a file": (
        toml(extra='[run]\nstorage_path = "file:///dev/null/x"'),
        r"file:///dev/null/x/study cannot be",
    ),
}

COMMANDS = {
    "no study file": (["run", "nowhere.toml"], r"the study file nowhere.toml does not exist"),
    "a folder as study file": (["run", "folder"], r"folder cannot be read"),
    "resume nothing": (["resume", "nowhere"], r"there is no study in nowhere"),
    "show nothing": (["show", "nowhere"], r"there is no study in nowhere"),
    "resume nothing at a URI": (["resume", "file:///nowhere/x"], r"there is no study in file:///nowhere/x"),
    "show an unknown kind of URI": (["show", "s4://bucket/x"], r"s4://bucket/x is no URI that can be used"),
    "report from a bucket that cannot be reached": (
        ["report", NOBODY],
        r"rbt-ray: s3://bucket/x\?.* cannot be reached",
    ),
    "report nothing": (["report", "nowhere"], r"there is no study in nowhere"),
    "unknown backend": (["demo", "--backend", "clowd"], r"`backend` is one of .*got 'clowd'"),
    "address without ray": (
        ["demo", "--backend", "local", "--address", "auto"],
        r"`address` is None on the local backend; got 'auto'",
    ),
    "workers": (["demo", "--workers", "0"], r"`num_workers` is a whole number of at least 1"),
    "ingest nothing": (["bundle", "ingest", "x", "nowhere.csv"], r"nowhere.csv"),
    "ingest a bad name": (["bundle", "ingest", "../x", "good"], r"\.\./x"),
    "ingest over an embedded bundle": (["bundle", "ingest", "sample", "good"], r"sample"),
    "ingest text in a number column": (["bundle", "ingest", "x", "text"], r"ABC.*close.*ten"),
    "ingest a negative price": (["bundle", "ingest", "x", "negative"], r"ABC.*-10"),
    "ingest high below low": (["bundle", "ingest", "x", "crossed"], r"ABC.*high.*low"),
    "ingest a duplicate": (["bundle", "ingest", "x", "twice"], r"ABC.*2020-01-02"),
    "ingest unsorted": (["bundle", "ingest", "x", "unsorted"], r"ABC.*sort"),
    "ingest an empty file": (["bundle", "ingest", "x", "empty"], r"ABC.*empty"),
    "ingest without close": (["bundle", "ingest", "x", "closeless"], r"ABC.*close"),
    "show an unknown bundle": (["bundle", "show", "sampel"], r"sampel.*sample"),
    "remove an embedded bundle": (["bundle", "remove", "sample"], r"sample"),
    "an unknown option": (["demo", "--wokers", "2"], r"--wokers"),
    "an unknown command": (["dmeo"], r"dmeo"),
    "a word for a number": (["demo", "--workers", "two"], r"--workers.*integer"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    (tmp_path / "mine.py").write_text(
        "NUMBER = 3\ndef objective(params, data):\n    return 1.0\ndef short(params):\n    pass\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")
    rows = CSV.splitlines(keepends=True)
    sources = {
        "good": CSV,
        "text": CSV.replace("12,9,11,5", "12,9,ten,5", 1),
        "negative": CSV.replace("10,11,9,10", "10,11,9,-10", 1),
        "crossed": CSV.replace("10,12,9", "10,9,12", 1),
        "twice": "".join([*rows, rows[2].replace("11,5", "10,5")]).replace("2020-01-03", "2020-01-02"),
        "unsorted": "".join([rows[0], rows[2], rows[1], rows[3]]),
        "empty": "",
        "closeless": CSV.replace("close", "shut"),
    }
    for name, text in sources.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "ABC.csv").write_text(text)
    (tmp_path / "folder").mkdir()
    return tmp_path


def call(capsys, *words):
    code = run_command(list(words))
    return code, *capsys.readouterr()


def check(code, out, err, sentence):
    assert code == 2, err
    assert out == ""
    assert re.search(sentence, err, re.DOTALL), err
    assert "Traceback" not in err


@pytest.mark.parametrize("case", STUDIES)
def test_bad_study_files(case, place, capsys):
    text, sentence = STUDIES[case]
    (place / "study.toml").write_text(text)
    check(*call(capsys, "run", "study.toml"), sentence)
    assert not (place / "studies").exists()


SLOW = {"report from a bucket that cannot be reached"}
"""Arrow tries for six seconds; the default run has the case of a study file."""


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in COMMANDS])
def test_bad_commands(case, place, capsys):
    words, sentence = COMMANDS[case]
    check(*call(capsys, *words), sentence)
    assert not (place / "studies").exists()


def test_the_good_study_file_is_good(place, capsys):
    (place / "study.toml").write_text(GOOD)
    code, out, err = call(capsys, "run", "study.toml", "--json")
    assert code == 0, err
    code, out, err = call(capsys, "run", "study.toml")
    check(code, out, err, r"there is a study in studies/study already.*rbt-ray resume.*Tuner.restore")
