"""gristmill: raw text shards in, a clean, deduplicated, split corpus out.

The order of work: `recipes` (what the user asks for) -> `job` (the same, resolved and checked) -> `plan` (stages and
tasks) -> `refining`, `cutting`, `matching`, `splits`, `mixtures`, `output` (what the tasks of a stage do) ->
`files.commit` (how a task's outputs become true) -> `run` (the driver) on one of the `engines`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

__version__ = "0.1.0"

HOME = Path(__file__).resolve().parent.parent


def _refuse_foreign_rooms() -> None:
    """Our import packages have everyday names; a working directory can hide them behind its own."""
    for room in ("filters", "dedup", "kernels"):
        spec = importlib.util.find_spec(room)
        places = [Path(p).resolve() for p in (spec.submodule_search_locations or [])] if spec else []
        if places != [HOME / room]:
            found = ", ".join(map(str, places)) or "nothing"
            raise ImportError(
                f"gristmill's package '{room}' is hidden: Python finds {found} where {HOME / room} was expected. "
                f"Start gristmill from another folder, or rename the folder '{room}' that lies on the import path."
            )


_refuse_foreign_rooms()
