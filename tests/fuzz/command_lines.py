"""Command lines: commands with valid and invalid arguments, and names that point outside of folders.

No study runs: a valid one stops where it would start its workers.
"""

import contextlib
import functools
import io
import os
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from rbt_ray.cli.main import run_command
from rbt_ray.errors import SettingError
from rbt_ray.tuner import pools
from rbt_ray.tuner.tuner import Tuner
from tests.fuzz.hostile import NUMBERS, TEXTS, check_sentence

_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-"))
_home = _folder / "home"
_PATHS = st.one_of(
    st.sampled_from(
        ["study", "folder", "nowhere", "loop", "dangling", "fifo-less", "prices.csv", "study.toml", ".", "/"]
    ),
    st.sampled_from(
        ["/proc/self/mem", "/dev/null", "/dev/full", "x" * 300, "a/" * 2_000 + "b", "../../etc/passwd", "~"]
    ),
    st.sampled_from(["file:///nowhere/x", "file://", "s4://x/y", "s3://", "://", "prices.csv/x", "study/", "text.csv"]),
    TEXTS,
)
_BUNDLES = st.one_of(
    st.sampled_from(
        ["sample", "fx", "mine", "../escape", "a/b", "a\\b", ".", "..", ".hidden", "current", "mine/current"]
    ),
    st.sampled_from(["mine.", "SAMPLE", "-x", "x" * 101, "x" * 100, "linked", "é", "con", "mine\n"]),
    TEXTS,
)
_OPTIONS = st.one_of(
    st.sampled_from(
        ["--json", "--help", "--version", "--workers", "--samples", "--seed", "--backend", "--out", "--fix"]
    ),
    st.sampled_from(["--backend=local", "--backend=ray", "--workers=0", "--samples=1e9", "--seed=-1", "--workers=3"]),
    st.sampled_from(
        ["--periods-per-year=0", "--periods-per-year=nan", "--fix=sort", "--fix=all", "--", "-", "-v", "-h"]
    ),
    st.builds("--{}={}".format, st.sampled_from(["samples", "seed", "workers", "out", "backend", "address"]), NUMBERS),
    st.builds("--{}={}".format, st.sampled_from(["out", "backend", "samples", "fix"]), TEXTS),
)
_COMMANDS = {
    ("run",): [_PATHS],
    ("resume",): [_PATHS],
    ("show",): [_PATHS],
    ("report",): [_PATHS],
    ("demo",): [],
    ("bundle", "ingest"): [_BUNDLES, _PATHS],
    ("bundle", "list"): [],
    ("bundle", "show"): [_BUNDLES],
    ("bundle", "remove"): [_BUNDLES],
    ("bundle",): [TEXTS],
    (): [TEXTS],
}


@st.composite
def _lines(draw):
    command = draw(st.sampled_from(sorted(_COMMANDS)))
    words = [draw(strategy) for strategy in _COMMANDS[command]]
    if draw(st.integers(0, 9)) == 0:
        words = draw(st.lists(st.one_of(_PATHS, TEXTS), max_size=3))
    for option in draw(st.lists(_OPTIONS, max_size=2)):
        words.insert(draw(st.integers(0, len(words))), option)
    # A system's command line holds no NUL, and an address would be called.
    return [*command, *(word.replace("\x00", "") for word in words if "--address" not in word)]


CASES = _lines()


@functools.cache
def _prepared():
    """Creates a folder with an unfinished study, prices, a registered bundle, and links to other folders."""
    os.environ["RBT_RAY_HOME"] = str(_home)
    os.chdir(_folder)
    (_folder / "folder").mkdir()
    prices = "date,close\n2020-01-01,1\n2020-01-02,2\n"
    (_folder / "prices.csv").write_text(prices.replace("close", "AAPL"))
    (_folder / "text.csv").write_text("\x1b[31mred\x1b[0m\n")
    (_folder / "study.toml").write_text(
        'objective = "sma_cross"\nbundle = "sample"\n[space]\nfast = { randint = [5, 9] }\nslow = 20\n'
    )
    (_folder / "loop").symlink_to("loop")
    (_folder / "dangling").symlink_to("nowhere")
    _begin("study")
    pools._start = _no_workers
    Tuner.fit = _no_run
    run_command(["bundle", "ingest", "mine", "prices.csv"])
    outside = _folder / "outside"
    outside.mkdir()
    (outside / "current").write_text("{}")
    (_home / "bundles" / "linked").symlink_to(outside)


def _begin(name):
    import rbt_ray as rbt
    from rbt_ray.store.journal import Journal

    run = rbt.RunConfig(name=name, storage_path=_folder)
    made = Tuner(rbt.objectives.sma_cross(), param_space={"fast": 5, "slow": 20}, bundle="sample", run_config=run)
    made.path.mkdir()
    Journal.create(made.path, made.study.to_json()).close()


def _no_workers(_):
    return None


def _no_run(_):
    raise SettingError("it would run.")


def check(words):
    _prepared()
    before = _outside_of_home()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(words)
    pools._idle.clear()
    assert code in (0, 1, 2), code
    said = err.getvalue()
    assert "Traceback" not in said
    ours = said.startswith("rbt-ray: ")  # others are Click's, and show the arguments
    if code == 2 and ours:
        check_sentence(said)
    printed = out.getvalue() + (said if ours else "")
    assert all(character.isprintable() or character == "\n" for character in printed), "the terminal was spoken to"
    new = _outside_of_home() - before
    assert all(path.name == "report.html" or "--out" in " ".join(words) for path in new), new
    return code == 2


def _outside_of_home():
    return {path for path in _folder.rglob("*") if _home not in path.parents and path != _home}
