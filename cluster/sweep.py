"""The script to submit: runs `rbt-ray run STUDY.toml` on its Ray cluster.

`sweep.py STUDY.toml [options of rbt-ray run]`; without `--backend` it is `--backend ray --address auto`.
"""

import os
import sys
from pathlib import Path

from rbt_ray.cli.main import run_command


def words(given: list[str]) -> list[str]:
    """Runs the command line of rbt-ray."""
    names = {word.partition("=")[0] for word in given}
    if names & {"--backend", "--address"}:
        return ["run", *given]
    return ["run", *given, "--backend", "ray", "--address", "auto"]


if __name__ == "__main__":
    given = sys.argv[1:]
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        # Ray runs a job in a copy of the working directory and removes it afterwards, so store the study in the home folder.
        given = [str(Path(word).resolve()) if Path(word).is_file() else word for word in given]
        os.chdir(Path.home())
    sys.exit(run_command(words(given)))
