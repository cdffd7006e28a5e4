"""What a study found: its trials, read from the journal when somebody looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rbt_ray.analysis.rungs import Rung, rungs_of
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.html_text import encodable, escape
from rbt_ray.nearest import nearest
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.store import trust
from rbt_ray.store.journal import Ended, Journal, Reviewed
from rbt_ray.store.table import TrialTable, table_of
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, STATUSES, Mode, Result

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from hpbandster.core.result import Result as HpbandsterResult


class ResultGrid(Sequence[Result]):
    """All finished trials of a study in trial order.

    Args:
        path: the study's folder.
        study: its definition, where the caller has it; else it is read from the journal.
    """

    def __init__(self, path: str | Path, study: Study | None = None) -> None:
        self.path = Path(path)
        self._given = study

    @cached_property
    @explain_os_errors()
    def _events(self) -> tuple[TrialTable, Reviewed | None, list[Ended]]:
        journal = Journal(self.path)
        try:
            study = self._given or Study.from_json(journal.definition)
            events = list(journal.read("finished", "reviewed", *trust.KINDS))
            reviewed = [event for event in trust.trusted(events) if isinstance(event, Reviewed)]
            ended = [event for event in events if isinstance(event, Ended)]
            return table_of(trust.marked(events), study), reviewed[-1] if reviewed else None, ended
        finally:
            journal.close()

    @property
    def table(self) -> TrialTable:
        """The trials in columns."""
        return self._events[0]

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self.table.study

    @property
    def review(self) -> Reviewed | None:
        """The best trials in detail: at order level and on the hold-out; None before the study is done."""
        return self._events[1]

    @property
    def runs(self) -> list[Ended]:
        """How each run of the study ended; more than one where it was resumed."""
        return self._events[2]

    @property
    def notes(self) -> list[str]:
        """What was decided while searching, a sentence each: what "auto" chose, which fidelities were of no use."""
        why = [self.study.why] if self.study.why else []
        return why + (self.runs[-1].notes if self.runs else []) + self._about_stopped()

    @property
    def cost(self) -> float:
        """What the trials come to, in evaluations at full fidelity."""
        return self.table.cost

    @property
    def rungs(self) -> list[Rung]:
        """What each fidelity cost, and how far it ranked configs as the full one did; one entry at full fidelity only."""
        return rungs_of(self.table)

    @property
    def is_done(self) -> bool:
        """Whether the search came to its end."""
        return any(run.reason == "done" for run in self.runs)

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"the study has {len(self):,} trials; there is no result {index}.")
        return self.table.results()[index]

    def __iter__(self) -> Iterator[Result]:
        results = self.table.results()
        return (results[row] for row in range(len(results)))

    def get_best_result(self, metric: str | None = None, mode: Mode | None = None) -> Result:
        """The best trial that completed at full fidelity; of equals the first.

        Args:
            metric: another than the study's.
            mode: "max" or "min"; the study's for None.

        Raises:
            NoResultError: there is none; the message says what became of the trials.
            SettingError: no trial has that metric.
        """
        names = list(self.table.outcomes.metrics)
        if metric is not None and metric not in names and names:
            raise SettingError(f"`metric` is one the objective returned; got {metric!r}: {nearest(metric, names)}")
        if mode not in (None, "max", "min"):
            raise SettingError(f"`mode` is 'max' or 'min'; got {mode!r}.")
        best = self.table.ranking(1, metric=metric, mode=mode)
        if not len(best):
            if self.num_terminated:
                if stopped := self._about_stopped():
                    raise NoResultError(f"no trial completed at full fidelity: {stopped[0]}")
                raise NoResultError(
                    f"no trial completed at full fidelity, though {self.num_terminated} of {len(self)} did at lower ones: give "
                    f"the study more samples or `max_cost`."
                )
            first = next(iter(self.table.outcomes.errors.values()), "there are none")
            raise NoResultError(f"no trial completed: {self.num_errors} of {len(self)} failed. The first: {first}")
        return self[int(best[0])]

    @property
    def errors(self) -> list[str]:
        """Why trials did not complete, in trial order."""
        return [text for _, text in sorted(self.table.outcomes.errors.items())]

    @property
    def num_errors(self) -> int:
        """Trials that did not complete."""
        return int((self.table.outcomes.status != COMPLETED).sum())

    @property
    def num_terminated(self) -> int:
        """Trials that completed."""
        return int((self.table.outcomes.status == COMPLETED).sum())

    def status_counts(self) -> dict[str, int]:
        """How many trials have each status."""
        status = self.table.outcomes.status
        return {name: int((status == code).sum()) for code, name in enumerate(STATUSES)}

    def get_dataframe(self) -> pd.DataFrame:
        """A row a trial: trial_id, status, fidelity, config/<name>..., <metric>..., error, duration_s, worker.

        Lone surrogates in names and texts, which pandas cannot hold, are written out as escapes.
        """
        import pandas as pd

        table = self.table
        columns: dict[str, Any] = {
            "trial_id": table.trials,
            "status": [STATUSES[code] for code in table.outcomes.status],
            "fidelity": table.fidelity,
        }
        for name, values in table.study.space.columns(table.points).items():
            columns[f"config/{name}"] = values
        for name, column in table.outcomes.metrics.items():
            whole = column.kind != "json" and bool(column.present.all())
            columns[name] = column.values if whole else column.numbers() if column.kind == "float" else column.to_list()
        errors = [table.outcomes.errors.get(row) for row in range(len(table))]
        columns["error"] = pd.Series(errors, dtype=object)  # None, not nan, where there is none
        columns["duration_s"] = table.outcomes.duration_s
        columns["worker"] = [table.workers[code] for code in table.worker]
        try:
            return pd.DataFrame(columns)
        except UnicodeEncodeError:
            return pd.DataFrame({encodable(name): _encodable_column(values) for name, values in columns.items()})

    def table_hash(self) -> str:
        """Sha256 over the ordered trial table: config, fidelity, status and metrics at full precision."""
        return self.table.hash()

    @explain_os_errors()
    def report(self, path: str | Path) -> Path:
        """Writes one self-contained HTML page about the study and gives its path."""
        from rbt_ray.reporting.html import write_report

        return write_report(self, Path(path))

    def to_hpbandster(self) -> HpbandsterResult:
        """The trials as an `hpbandster.core.result.Result`, for its analysis: see `rbt_ray.export.hpbandster_result`.

        Raises:
            NoResultError: there are no trials.
        """
        from rbt_ray.export.hpbandster_result import to_hpbandster

        return to_hpbandster(self)

    def to_optuna(self, *, storage: Any = None, study_name: str | None = None) -> optuna.Study:
        """The trials as an Optuna study, for its plots, importances and dashboard: see `rbt_ray.export.optuna_study`.

        Args:
            storage: a URL such as ``"sqlite:///studies.db"``, or a storage of Optuna's; None keeps it in memory.
            study_name: what it is called there; None: the study's own name.

        Raises:
            SettingError: Optuna is not installed, or the storage has a study of that name.
        """
        from rbt_ray.export.optuna_study import to_optuna

        return to_optuna(self, storage=storage, study_name=study_name)

    def to_mlflow(self, *, experiment: str = "rbt_ray", tracking_uri: str | None = None) -> str:
        """Writes the study to MLflow, a run with a child run a trial, and gives its run's id: see `rbt_ray.export.mlflow_runs`.

        Args:
            experiment: its name; made where there is none.
            tracking_uri: a server's address, or ``"sqlite:///mlflow.db"``; None: as MLflow is set up.

        Raises:
            SettingError: MLflow is not installed.
        """
        from rbt_ray.export.mlflow_runs import to_mlflow

        return to_mlflow(self, experiment=experiment, tracking_uri=tracking_uri)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n:,} {name}" for name, n in self.status_counts().items() if n)
        return f"ResultGrid({self.study.name!r}: {counts or 'no trials'}{self._best_text()})"

    def _repr_html_(self) -> str:
        head = self.get_dataframe().iloc[self.table.ranking(10)]
        return f"<p>{escape(repr(self))}</p>{encodable(head.to_html(index=False))}"

    def _about_stopped(self) -> list[str]:
        """A sentence on the trials that stopped by themselves, if any."""
        shares = self.table.outcomes.shares
        if not shares:
            return []
        most = math.floor(100 * max(shares.values()))  # 99.9 % is not the whole
        return [
            f"{len(shares):,} of {len(self):,} trials stopped by themselves, after at most {most}% of what "
            f"was asked for, and none of these can be the best. A run that came to its end says so by "
            f"`rbt.report(..., share=1.0)`."
        ]

    def _best_text(self) -> str:
        if not len(self.table.ranking(1)):
            return ""
        best = self.get_best_result()
        return f"; best {self.study.metric} {best.metrics[self.study.metric]:.6g} at {dict(best.config)}"


def _encodable_column(values: Any) -> Any:
    import pandas as pd

    if getattr(getattr(values, "dtype", None), "kind", "O") != "O":
        return values
    return pd.Series([encodable(value) if isinstance(value, str) else value for value in values], dtype=object)
