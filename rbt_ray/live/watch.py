"""A watched study: its figures, brought up to date from its journal, and its driver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rbt_ray.errors import RbtError, SettingError, StudyNotFoundError
from rbt_ray.live.figures import Figures
from rbt_ray.live.shown import shown
from rbt_ray.store import driver as drivers
from rbt_ray.store.driver import Driver
from rbt_ray.store.follower import JournalFollower
from rbt_ray.store.trust import UNCHECKED
from rbt_ray.study.study import Study


class Watch:
    """The state of a study, as its page shows it; used by one thread at a time.

    Args:
        folder: the study's folder; the study may begin later.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver: Driver | None = None
        self.figures: Figures | None = None
        self._follower = JournalFollower(folder)
        self._asked: Driver | None = None  # the driver that was asked to stop
        self._trouble = ""
        self.message = ""
        """The state as one JSON object; "" before the first `refresh`."""

    @property
    def has_begun(self) -> bool:
        """Whether the study has a journal."""
        return self.figures is not None

    def refresh(self) -> bool:
        """Reads what is new, and returns whether `message` changed. An error of the journal is part of the state."""
        self.driver = drivers.driver_of(self.folder)
        try:
            self._read()
            self._trouble = ""
        except StudyNotFoundError:
            self._trouble = "The study has not begun yet."
        except RbtError as error:
            self._trouble = str(error)
        return self._show()

    def stop(self) -> str:
        """Asks the driver to stop as by Ctrl-C, once, and returns a sentence about it.

        Raises:
            SettingError: no driver runs the study, or it cannot be reached from here.
        """
        driver = drivers.driver_of(self.folder)
        if driver is None:
            raise SettingError("no driver is running the study.")
        if driver != self._asked:
            drivers.stop(self.folder, driver)
            self._asked = driver
            self._show()
        return "The study stops after its running batches. All results are kept."

    def report(self) -> str:
        """Returns the report of the study as HTML.

        Raises:
            RbtError: the study cannot be read.
        """
        from rbt_ray.analysis.recorded import verdict_inputs
        from rbt_ray.analysis.verdict import judge
        from rbt_ray.reporting.html import page
        from rbt_ray.store.study_record import read_study

        record = read_study(self.folder)
        return page(record, judge(verdict_inputs(record)))

    def _read(self) -> None:
        has_more = True
        while has_more:
            news = self._follower.read()
            has_more = news.has_more
            if news.definition is not None:
                self.figures = Figures(Study.from_json(news.definition))
            for event in news.events:
                assert self.figures is not None  # the first reading gives the definition
                self.figures.add(event)

    def _show(self) -> bool:
        before = self.message
        state = self._state()
        resume = None
        if self.figures is not None and state == "stopped":
            resume = f"rbt-ray resume {self.folder}"
        content: dict[str, Any] = {
            "state": state,
            "trouble": self._trouble,
            "host": self._where(),
            "can_stop": self.driver is not None and self.driver.is_here and self.driver != self._asked,
            "is_stopping": self.driver is not None and self.driver == self._asked,
            "resume": resume,
            **({} if self.figures is None else shown(self.figures, is_running=self.driver is not None)),
        }
        self.message = json.dumps(content, allow_nan=False)
        return self.message != before

    def _state(self) -> str:
        """Returns "waiting", "running", "done" or "stopped"."""
        if self.driver is not None:
            return "running"
        if self.figures is None:
            return "waiting"
        ended = self.figures.ended
        return "done" if ended is not None and ended.reason == "done" else "stopped"

    def _where(self) -> str:
        driver = self.driver
        if driver is None:
            ended = None if self.figures is None else self.figures.ended
            if ended is None:
                return "" if self.figures is None else "No driver runs it, and its last one recorded no end."
            if ended.reason == "done":
                return ""
            return f"Its last run ended early: {'it was interrupted' if ended.reason == UNCHECKED else ended.reason}."
        if not driver.pid:
            return "Another process runs it. Stop it there, with Ctrl-C."
        if driver.is_here:
            return f"Process {driver.pid} of this machine runs it."
        return f"Process {driver.pid} on {driver.host} runs it. Stop it there, with Ctrl-C."
