"""The results of a study as users see them: a sequence of trials, a pandas frame, reports and exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np

from rbt_ray.analysis.rungs import Rung, rungs_of
from rbt_ray.analysis.validation import ValidationResult, validation_result
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.html_text import encodable, escape
from rbt_ray.nearest import nearest
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.store.blocks import best_in_blocks, hash_in_blocks, read_in_blocks
from rbt_ray.store.feasibility import Feasibility
from rbt_ray.store.journal import Ended, Reviewed
from rbt_ray.store.study_record import StudyRecord, read_study
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.tuner.pareto_results import hypervolume_of, require_metric
from rbt_ray.tuner.reruns import Reruns, Runner
from rbt_ray.types import FloatArray, IntArray, Mode, Result

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    import pyarrow as pa
    from hpbandster.core.result import Result as HpbandsterResult

    from rbt_ray.analysis.overfitting import Cscv
    from rbt_ray.analysis.verdict import Verdict
    from rbt_ray.block_sums import Benchmark, BlockSums


class ResultGrid(Reruns, Sequence[Result]):
    """All finished trials of a study in trial order, read from its journal on first use.

    Args:
        path: the study's folder.
        study: the study's definition, if the caller has it; None: it is read from the journal.
    """

    def __init__(self, path: str | Path, study: Study | None = None, _runner: Runner | None = None) -> None:
        super().__init__(Path(path), _runner)
        self._given = study

    @cached_property
    @explain_os_errors()
    def _record(self) -> StudyRecord:
        return read_study(self.path, self._given)

    @property
    def table(self) -> TrialTable:
        """The trials in columns."""
        return self._record.table

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self._record.study

    @property
    def review(self) -> Reviewed | None:
        """The best trials in detail, at order level and on the hold-out; None before the study is done."""
        return self._record.review

    @property
    def runs(self) -> list[Ended]:
        """The end of each run of the study; more than one run if it was resumed."""
        return self._record.runs

    @property
    def notes(self) -> list[str]:
        """The decisions of the search, one sentence each: what "auto" chose, which fidelities were skipped."""
        return self._record.notes

    @property
    def stopped_notes(self) -> list[str]:
        """A sentence about the trials that stopped by themselves; an empty list if there are none."""
        return self._record.stopped_notes()

    @property
    def failure_note(self) -> str:
        """How many trials failed, for what reasons, and whether none can be the best; "" if neither is so."""
        return self._record.failure_note

    @property
    def constraint_notes(self) -> list[str]:
        """What the constraints exclude, and which bind, a sentence each; an empty list for a study without constraints."""
        return self._record.constraint_notes()

    @property
    def feasibility(self) -> Feasibility:
        """How many trials break the constraints on metrics, and which constraints bind."""
        return self._record.feasibility

    @property
    def cost(self) -> float:
        """The cost of all trials and of the audit set, in evaluations at full fidelity."""
        return self.table.cost + sum(audit.cost for audit in (self.audit,) if audit is not None)

    @property
    def audit(self) -> TrialTable | None:
        """The audit set: trials of configs drawn at random after the search, numbered from 0; None if there is none.

        They are not among the results of the study, and not in `table_hash`.
        """
        return self._record.audit

    @property
    def rungs(self) -> list[Rung]:
        """The cost of each fidelity and how well it ranked configs; one entry if only full fidelity was used."""
        return rungs_of(self.table)

    @property
    def is_done(self) -> bool:
        """Whether the search ran to its end."""
        return self._record.is_done

    def walk_forward(self) -> ValidationResult:
        """Returns how the search did on the windows of `TuneConfig(validation=...)`: on bars that it did not choose on.

        Raises:
            SettingError: the study has no validation.
            NoResultError: the study is not done.
        """
        plan, validated = self.study.validation, self._record.validated
        if plan is None:
            raise SettingError(
                f"the study {self.study.name!r} has no windows: pass `TuneConfig(validation=rbt.WalkForward(train=8, test=1))`."
            )
        if validated is None:
            raise NoResultError(
                f"the study {self.study.name!r} is not done, so its validation has no result yet: resume it."
            )
        return validation_result(validated, plan.name, self.study.metric)

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

    def get_best_result(
        self, metric: str | None = None, mode: Mode | None = None, select: Literal["best", "robust"] = "best"
    ) -> Result:
        """Returns the best feasible trial that completed at full fidelity; the first if several are equal.

        Args:
            metric: the metric to compare; None: the study's. A study of several metrics needs one.
            mode: "max" or "min"; None: the study's.
            select: "robust" takes, of the 10 best configs, the one with the best median over itself and at most 32 configs near
                it. Those that are not among the trials are evaluated on the study's workers.

        Raises:
            NoResultError: no trial completed at full fidelity, or none of those is feasible; the message says why.
            SettingError: no trial has that metric; the study has several metrics, and none is given; or neighbours have to be
                evaluated, and the results do not come from a Tuner, which has the objective.
        """
        if (metric, mode, select) == (None, None, "best") and (found := self._in_blocks(best_in_blocks)) is not None:
            return cast(Result, found)
        if select not in ("best", "robust"):
            raise SettingError(f"`select` is 'best' or 'robust'; got {select!r}.")
        if self.study.further_goals:
            require_metric(self.study, metric, mode)
        names = list(self.table.outcomes.metrics)
        if metric is not None and metric not in names and names:
            raise SettingError(f"no trial returned the metric {metric!r}: {nearest(metric, names)}")
        if mode not in (None, "max", "min"):
            raise SettingError(f"`mode` is 'max' or 'min'; got {mode!r}.")
        best = self.table.ranking(1, metric=metric, mode=mode)
        if not len(best):
            raise self._record.no_result()
        if select == "robust":
            return self[self._most_robust_row(metric or self.study.metric, mode or self.study.mode)]
        return self[int(best[0])]

    def pareto_front(self) -> list[Result]:
        """Returns the feasible trials at full fidelity that no other one dominates, the best by the first metric first.

        A trial dominates another one if it is nowhere worse and in one metric better. Trials with equal metrics are all in it.
        In a study of one metric, these are the best trial and those that are equal to it.

        Raises:
            NoResultError: no trial completed at full fidelity, or none of those is feasible; the message says why.
        """
        results = self.table.results()
        rows = self.table.front
        if not len(rows):
            raise self._record.no_result()
        return [results[row] for row in rows.tolist()]

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> FloatArray:
        """Returns how much of the space of metrics the trials dominate, by the number of evaluations.

        Args:
            reference: the corner of the space, by metric; trials count from there on. None: the worst value of each metric among
                the feasible trials at full fidelity.

        Returns:
            ``(n_trials,)`` the volume, in the product of the metrics' units, after each trial in trial order.

        Raises:
            SettingError: the study has one metric, or `reference` does not have a finite number for each.
            NoResultError: there is no reference, and no such trial.
        """
        return hypervolume_of(self.table, reference)

    @property
    def errors(self) -> list[str]:
        """The errors of the trials that did not complete, in trial order."""
        return [text for _, text in sorted(self.table.outcomes.errors.items())]

    @property
    def num_errors(self) -> int:
        """The number of trials that did not complete."""
        return self._record.num_errors

    @property
    def num_terminated(self) -> int:
        """The number of trials that completed."""
        return self._record.num_terminated

    def status_counts(self) -> dict[str, int]:
        """Returns the number of trials with each status."""
        return self._record.status_counts()

    def get_dataframe(self, fidelity: Literal["all", "full"] = "all") -> pd.DataFrame:
        """Returns a row per trial: trial_id, status, fidelity, config/<name>..., <metric>..., error, duration_s, worker.

        Do not rank the trials of all fidelities: a metric of a ninth of the history is nine times as much luck. Pass
        `fidelity="full"`, or use `get_best_result`.

        A study with constraints on metrics also has `feasible` (None for a trial that is not judged: it did not complete, or
        was satisfactory so far at a lower fidelity) and `violation` before `error`.

        Lone surrogates in names and texts are escaped, since pandas cannot hold them.

        Args:
            fidelity: "full" has only trials that reached full fidelity, failed ones too.
        """
        from rbt_ray.tuner.trial_frame import trial_frame

        frame = trial_frame(self.table)
        if len(rows := self._rows(fidelity)) < len(frame):
            return frame.iloc[rows].reset_index(drop=True)
        return frame

    def _rows(self, fidelity: str) -> IntArray:
        if fidelity not in ("all", "full"):
            raise SettingError(f"`fidelity` is 'all' or 'full'; got {fidelity!r}.")
        return np.flatnonzero(self.table.fidelity == 1.0) if fidelity == "full" else np.arange(len(self))

    def to_arrow(self, fidelity: Literal["all", "full"] = "all") -> pa.Table:
        """Returns the columns of `get_dataframe` as an Arrow table, with null for what a trial does not have.

        A metric, or the options of a parameter, that no Arrow type holds is text: a string itself, anything else as JSON.

        Args:
            fidelity: "full" has only trials that reached full fidelity, failed ones too.
        """
        from rbt_ray.export.arrow_table import to_arrow

        return to_arrow(self.table, self._rows(fidelity))

    @explain_os_errors()
    def to_parquet(self, path: str | Path, fidelity: Literal["all", "full"] = "all") -> Path:
        """Writes the table of `to_arrow` to a Parquet file, in batches, and returns its path.

        Args:
            path: the file, which is replaced if it exists.
            fidelity: "full" has only trials that reached full fidelity, failed ones too.

        Raises:
            SettingError: the file's folder does not exist.
        """
        from rbt_ray.export.arrow_table import to_parquet

        return to_parquet(self.table, self._rows(fidelity), Path(path))

    def table_hash(self) -> str:
        """Returns the SHA-256 of the trial table: config, fidelity, status and metrics at full precision, in trial order."""
        return self._in_blocks(hash_in_blocks) or self.table.hash()

    @explain_os_errors()
    def _in_blocks(self, find: Callable[[Study, Iterator[TrialTable]], Any]) -> Any:
        """Returns what `find` gives for a large study that has not been read; else None."""
        return None if "_record" in self.__dict__ else read_in_blocks(self.path, self._given, find)

    def block_sums(self) -> tuple[BlockSums, Benchmark] | None:
        """Returns the sums of returns over 16 blocks of the training bars, of the study's sample of trials and the best one.

        The sample is all trials, or 32,768 of them drawn at random. See `rbt_ray.block_sums`.

        Returns:
            The sums and those of the benchmark; None if the objective gives no returns.
        """
        sums, benchmark = self._record.block_sums(), self._record.benchmark
        return None if sums is None or benchmark is None else (sums, benchmark)

    def cscv(self) -> Cscv:
        """Returns the combinatorially symmetric cross-validation of the trials; its `pbo` is the probability of overfitting.

        It compares the study's sample of trials, see `block_sums`. For a search whose results decide which trials follow, it
        compares the audit set.

        Raises:
            NoResultError: fewer than 2 trials have returns, or there is no audit set.
        """
        from rbt_ray.analysis.recorded import cscv_of

        return cscv_of(self._record)

    def verdict(self) -> Verdict:
        """Returns whether the best trial is likely to be real: a word, a sentence, and three checks."""
        return self._verdict

    @cached_property
    def _verdict(self) -> Verdict:
        from rbt_ray.analysis.recorded import verdict_inputs
        from rbt_ray.analysis.verdict import judge

        return judge(verdict_inputs(self._record))

    @explain_os_errors()
    def report(self, path: str | Path) -> Path:
        """Writes one self-contained HTML page about the study and returns its path."""
        from rbt_ray.reporting.html import write_report

        return write_report(self._record, Path(path), self.verdict())

    def to_hpbandster(self) -> HpbandsterResult:
        """Returns the trials as an `hpbandster.core.result.Result`, for its analysis; see `rbt_ray.export.hpbandster_result`.

        Raises:
            NoResultError: there are no trials.
            SettingError: hpbandster is not installed.
        """
        from rbt_ray.export.hpbandster_result import to_hpbandster

        return to_hpbandster(self._record)

    def to_optuna(self, *, storage: Any = None, study_name: str | None = None) -> optuna.Study:
        """Returns the trials as an Optuna study, for its plots, importances and dashboard; see `rbt_ray.export.optuna_study`.

        Args:
            storage: a URL such as ``"sqlite:///studies.db"``, or a storage object of Optuna; None keeps it in memory.
            study_name: the name of the Optuna study; None: this study's name.

        Raises:
            SettingError: Optuna is not installed, or the storage has a study of that name.
        """
        from rbt_ray.export.optuna_study import to_optuna

        return to_optuna(self._record, storage=storage, study_name=study_name)

    def to_mlflow(self, *, experiment: str = "rbt_ray", tracking_uri: str | None = None) -> str:
        """Writes the study to MLflow as a run with a child run per trial, and returns its id; see `rbt_ray.export.mlflow_runs`.

        Args:
            experiment: the name of the experiment; created if it does not exist.
            tracking_uri: the address of a server, or ``"sqlite:///mlflow.db"``; None: the one MLflow is configured with.

        Raises:
            SettingError: MLflow is not installed.
        """
        from rbt_ray.export.mlflow_runs import to_mlflow

        return to_mlflow(self._record, experiment=experiment, tracking_uri=tracking_uri)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n:,} {name}" for name, n in self.status_counts().items() if n)
        return f"ResultGrid({self.study.name!r}: {counts or 'no trials'}{self._best_text()})"

    def _repr_html_(self) -> str:
        head = self.get_dataframe().iloc[self.table.ranking(10)]
        verdict = self.verdict()
        said = f"<p><b>{escape(verdict.word)}.</b> {escape(verdict.sentence)}</p>"
        return f"<p>{escape(repr(self))}</p>{encodable(head.to_html(index=False))}{said}"

    def _best_text(self) -> str:
        if not len(self.table.ranking(1)):
            return ""
        best = self.get_best_result(self.study.metric)
        more = f"; {len(self.table.front):,} on the Pareto front" if self.study.further_goals else ""
        return f"{more}; best {self.study.metric} {best.metrics[self.study.metric]:.6g} at {dict(best.config)}"
