"""Where tasks run. An engine has one method: it takes task specs and gives back result rows, in any order.

local   a plain loop in this process
ray     tasks of Ray and Ray Data, on this machine or on a cluster
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from pipeline.recipes.recipe import Run


class Engine(Protocol):
    name: str

    def map(self, specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Runs `pipeline.tasks.run_task` on every spec; yields each result as it comes."""

    def close(self) -> None:
        """Leaves no process behind."""


def largest_first(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The order in which workers take tasks: a large one that comes last would keep one core busy and the others waiting."""
    return sorted(specs, key=lambda spec: -sum(shard["size"] for shard in spec.get("shards", [])))


def start(run: Run) -> Engine:
    """The engine that the recipe asks for. Ray is imported only if it is used."""
    if run.engine == "local":
        from pipeline.engines.local import LocalEngine

        return LocalEngine(run)
    if run.address is None:
        from pipeline.engines.starting import StartingEngine

        return StartingEngine(run)
    from pipeline.engines.ray import RayEngine

    return RayEngine(run)
