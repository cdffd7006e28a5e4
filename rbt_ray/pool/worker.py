"""The code a worker runs, whatever carries its batches: the only place that calls an objective."""

from __future__ import annotations

from time import perf_counter, thread_time, time  # the clocks themselves: an objective may put others in their place
from typing import TYPE_CHECKING, Any

from rbt_ray.data.memo import Memo
from rbt_ray.data.portions import portion, share_of
from rbt_ray.objectives.objective import Evaluator, as_evaluator
from rbt_ray.objectives.reports import Span
from rbt_ray.objectives.review import review
from rbt_ray.pool.pool import Batch, Job, Returned
from rbt_ray.pool.task import Task
from rbt_ray.study.seeds import trial_seeds

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView


class Worker:
    """Holds the bundle, what was derived from it and the objective, from batch to batch and from study to study."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._memo = Memo()
        self._bundle: Bundle | None = None
        self._views: dict[float, BundleView] = {}
        self._task: Task
        self._evaluator: Evaluator

    def load(self, job: Job) -> None:
        """Makes ready for a study's batches; a bundle that is open already stays warm.

        Raises:
            ObjectiveError: the objective cannot be rebuilt here, such as when its module is missing.
        """
        task = Task.unpack(job)
        self._task, self._views = task, {}
        self._evaluator = as_evaluator(task.objective, task.space, task.metric)
        if task.bundle is not None:
            import rbt_ray.pool.preload_prices  # noqa: F401 - now, so that no trial's time is spent on importing

            bundle = task.bundle.open()
            if self._bundle is None or bundle.version != self._bundle.version:
                self._bundle = bundle
        else:
            self._bundle = None
        if task.files is not None:
            task.objective.open(task.files.open())

    def run(self, batch: Batch) -> Returned:
        """Evaluates a batch of the loaded job."""
        started, wall, cpu = time(), perf_counter(), thread_time()
        answer = self._review(batch) if batch.purpose == "review" else self._score(batch)
        return Returned(
            number=batch.number,
            worker=self.name,
            answer=answer,
            cpu_s=thread_time() - cpu,
            started=started,
            wall_s=perf_counter() - wall,
        )

    def _score(self, batch: Batch) -> Any:
        seeds = trial_seeds(self._task.seed, batch.trials).tolist()
        trials = batch.trials.tolist()
        if self._task.max_reports is None:
            return self._evaluator.score(self._view(batch.fidelity), batch.points, seeds, Span(trials=trials))
        span = Span(share_of(batch.fidelity, self._task.max_reports), batch.starts, trials)
        return self._evaluator.score(self._view(1.0), batch.points, seeds, span)

    def _review(self, batch: Batch) -> Any:
        seed = int(trial_seeds(self._task.seed, batch.trials)[0])
        config = self._task.space.decode(batch.points)[0]
        return review(self._task.objective, config, self._task.metric, self._bundle, self._task.train_bars, seed)

    def _view(self, fidelity: float) -> BundleView | None:
        task = self._task
        if self._bundle is None:
            return None
        if fidelity not in self._views:
            bundle, n_bars = portion(self._bundle, task.fidelity, fidelity, task.train_bars, task.seed)
            self._views[fidelity] = bundle.view(n_bars, self._memo)
        return self._views[fidelity]
