"""What a run tells on a terminal. A file of its own: in a log nobody needs what draws it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.progress import WHAT, Tally


class Bars:
    """A bar for each stage, on a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<9} {task.description:<22}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[tally]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._tally = Tally()
        self._task: TaskID | None = None
        self._progress.start()

    def stage(self, name: str, total: int, done: int, size: int) -> None:
        self._tally.start(name, size)
        self._task = self._progress.add_task(
            WHAT.get(name.split("-")[0], ""), total=total, completed=done, stage=name, tally=""
        )

    def task(self, result: dict[str, Any]) -> None:
        self._tally.add(result)
        if self._task is not None:
            self._progress.update(self._task, advance=1, tally=self._tally.text())

    def note(self, text: str) -> None:
        self._progress.console.print(text)

    def close(self) -> None:
        self._progress.stop()
