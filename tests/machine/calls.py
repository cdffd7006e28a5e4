"""Commands and Python API calls, each for a real process, and the files they need."""

import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq

OBJECTIVE = "def score(params, data):\n    return float(params['x'])\n"
STUDY = """
objective = "mine:score"
[space]
x = { randint = [0, 40] }
[search]
metric = "score"
search_alg = "random"
num_samples = 30
seed = 1
[run]
num_workers = 1
"""
CSV = "date,open,high,low,close,volume\n" + "".join(f"2020-01-{d:02},10,12,9,{d},5\n" for d in range(1, 29))

COMMANDS = {
    "run": ["run", "{files}/study.toml", "--json"],
    "resume": ["resume", "{files}/begun/study", "--samples", "30", "--json"],
    "show": ["show", "{files}/studies/study"],
    "show json": ["show", "{files}/studies/study", "--json"],
    "report": ["report", "{files}/studies/study", "--out", "{work}/report.html"],
    "ingest csv": ["bundle", "ingest", "mine", "{files}/ABC.csv"],
    "ingest folder": ["bundle", "ingest", "mine", "{files}/prices"],
    "ingest parquet": ["bundle", "ingest", "mine", "{files}/prices.parquet"],
    "bundle list": ["bundle", "list"],
    "bundle show": ["bundle", "show", "sample"],
    "doctor": ["doctor"],
    "demo": ["demo", "--samples", "20", "--workers", "1"],
    "help": ["--help"],
}
"""Arguments of `rbt-ray`; `files` are read-only inputs, `work` is the working directory."""

_CALL = """
import sys
try:
    import numpy, pandas, pyarrow.parquet
    import rbt_ray as rbt
    from rbt_ray.errors import RbtError
except Exception:
    sys.exit(4)  # nothing of ours runs before the import is done
try:
    {body}
except RbtError as error:
    print("rbt-ray:", error, file=sys.stderr)
    sys.exit(3)
"""
_BODIES = {
    "fit": """
sys.path.insert(0, {files!r})
from mine import score
from rbt_ray.tuner.config import RunConfig, TuneConfig
rbt.Tuner(score, param_space=dict(x=rbt.randint(0, 40)), tune_config=TuneConfig("score", num_samples=20, seed=1),
          run_config=RunConfig("fit", num_workers=1, verbose=0)).fit()
""",
    "from_frame": """
import pandas as pd
frame = pd.DataFrame(dict(A=range(1, 501), B=range(2, 502)), index=pd.date_range("2020-01-01", periods=500))
rbt.Bundle.from_frame(frame)
""",
    "ingest": "rbt.ingest('mine', {files!r} + '/prices.parquet')",
}


def call(name, files, work):
    """Returns the command line of a process that makes the call."""
    if name in COMMANDS:
        words = [word.format(files=files, work=work) for word in COMMANDS[name]]
        return [sys.executable, "-m", "rbt_ray.cli", *words]
    body = textwrap.indent(_BODIES[name].format(files=str(files)).strip(), "    ").strip()
    return [sys.executable, "-c", _CALL.replace("{body}", body)]


CALLS = (*COMMANDS, *_BODIES)
TOO_LITTLE_FOR_NUMPY = tuple(f"{mib} MiB of address space" for mib in (64, 150, 250))


def applies(name, fault):
    """Whether the call gets as far as our code: numpy itself ends a process that has too little memory for it."""
    return name in COMMANDS or fault not in TOO_LITTLE_FOR_NUMPY


def make_files(folder):
    """Creates the files for the calls: a study file with its objective, prices, a finished and an unfinished study."""
    (folder / "mine.py").write_text(OBJECTIVE)
    (folder / "study.toml").write_text(STUDY)
    (folder / "ABC.csv").write_text(CSV.replace("date,", "symbol,date,").replace("\n2020", "\nABC,2020"))
    (folder / "prices").mkdir()
    (folder / "prices" / "ABC.csv").write_text(CSV)
    table = pa.table({"date": [f"2020-01-{d:02}" for d in range(1, 29)], "A": list(range(1, 29))})
    pq.write_table(table, folder / "prices.parquet")
    run = [sys.executable, "-m", "rbt_ray.cli", "run", str(folder / "study.toml"), "--json"]
    subprocess.run(run, cwd=folder, check=True, capture_output=True, timeout=300)
    (folder / "begun").mkdir()
    begun = (folder / "study.toml").read_text()
    (folder / "begun.toml").write_text('name = "study"\n' + begun + 'storage_path = "begun"\n')
    run[4] = str(folder / "begun.toml")
    subprocess.run([*run, "--samples", "5"], cwd=folder, check=False, capture_output=True, timeout=300)
    assert (folder / "begun" / "study" / "journal.sqlite").exists()
