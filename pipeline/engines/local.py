"""The engine of tests, previews and debuggers: a loop in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.tasks import run_task


class LocalEngine:
    name = "local"

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for spec in specs:
            yield run_task(spec)

    def close(self) -> None:
        pass
