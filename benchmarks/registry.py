"""What a case is: one job done by gristmill and by its peers.

    @runner("language ID", "fasttext", {"en": 6, "zh": 6}, package="fasttext-numpy2-wheel")
    def fasttext(sample): ...prepare...; return work

A runner takes a `Sample` and returns `work`, a function without arguments that does the job once. `work()` may
return a function that gives the answers (after the clock has stopped), which are compared with gristmill's.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "gristmill"
BATCH = 1000
ANY_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""Tokens for peers that leave tokenising to the caller: one Han, kana or Hangul character, or one word."""

Work = Callable[[], Any]


@dataclass(frozen=True)
class Sample:
    """One input file: JSONL.zst with `id` and `text`, or WARC. `scratch` is an empty folder for outputs."""

    kind: str
    path: Path
    scratch: Path

    @functools.cached_property
    def records(self) -> list[dict[str, Any]]:
        import zstandard

        text = zstandard.ZstdDecompressor().stream_reader(self.path.open("rb")).read().decode()
        return [json.loads(line) for line in text.split("\n") if line]

    @property
    def texts(self) -> list[str]:
        return [record["text"] for record in self.records]

    def tables(self) -> list[Any]:
        """The texts as tables of one column, as the pipeline hands them to its steps."""
        import pyarrow as pa

        texts = self.texts
        return [
            pa.table({"text": pa.array(texts[at : at + BATCH], pa.large_string())})
            for at in range(0, len(texts), BATCH)
        ]


@dataclass(frozen=True)
class Runner:
    case: str
    name: str
    sizes: dict[str, float | None]
    function: Callable[[Sample], Work]
    package: str | None
    child: bool

    def inputs(self) -> list[str]:
        return [kind if size is None else f"{kind}:{size:g}" for kind, size in self.sizes.items()]


RUNNERS: list[Runner] = []


def runner(
    case: str, name: str, sizes: dict[str, float | None], *, package: str | None = None, child: bool = False
) -> Callable[[Callable[[Sample], Work]], Callable[[Sample], Work]]:
    """Registers a runner. `sizes`: MB of text (or pages) of each input that it can do in some seconds, None: all
    (gristmill is also measured on those of its peers, and needs none of its own where they take enough of the text).
    `child`: the work is a process that `work` starts, and the start is part of it."""

    def register(function: Callable[[Sample], Work]) -> Callable[[Sample], Work]:
        RUNNERS.append(Runner(case, name, sizes, function, package, child))
        return function

    return register


def load() -> list[Runner]:
    """All runners, in the order of the table. The case files import nothing heavy at their tops."""
    import cases_rules  # noqa: F401
    import cases_text  # noqa: F401
    import cases_dedup  # noqa: F401  # isort: skip
    import cases_reading  # noqa: F401  # isort: skip
    import cases_chain  # noqa: F401  # isort: skip
    import cases_tokens  # noqa: F401  # isort: skip
    import cases_contamination  # noqa: F401  # isort: skip

    return RUNNERS
