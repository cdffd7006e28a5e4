"""Finding: the result of one check of `rbt-ray doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rbt_ray.cli.tables import print_json


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its name, whether it passed, and details."""

    what: str
    ok: bool
    says: str


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints findings. Returns 0 if all checks passed, else 1."""
    if as_json:
        print_json({finding.what: {"ok": finding.ok, "says": finding.says} for finding in findings})
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what:<{width}}  {finding.says}")
    return 0 if all(finding.ok for finding in findings) else 1
