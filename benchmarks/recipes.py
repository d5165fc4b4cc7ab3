"""The chain as a recipe, and gristmill's parts of it run in this process."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

BANDS = {"bands": 14, "rows": 8}  # datatrove's default
MINHASH: list[Any] = [{"dedup": {"minhash": {"threshold": 0.8, **BANDS}}}]
CHAIN: list[Any] = [
    {"keep": {"language": {"in": ["en"], "min_score": 0.65}}},
    {"keep": "gopher_repetition"},
    {"keep": "gopher_quality"},
    {"edit": {"c4_lines": {"terminal_punctuation": False}}},
    {"keep": "c4"},
    {"keep": "fineweb"},
    {"edit": {"scrub_pii": {"kinds": ["email", "ip"]}}},
    *MINHASH,
]
CHINESE_CHAIN: list[Any] = [
    {"keep": {"language": {"in": ["zh"], "min_score": 0.65}}},
    {"keep": "fineweb2_zh"},
    {"edit": {"c4_lines": {"terminal_punctuation": False, "min_words": 1}}},
    {"keep": "chinese_web"},
    {"edit": {"scrub_pii": {"kinds": ["email", "ip"]}}},
    *MINHASH,
]
CHAINS = {"en": CHAIN, "zh": CHINESE_CHAIN}
SPLIT = {"train": 0.9, "validation": 0.05, "test": 0.05}
_numbers = itertools.count()


def write(path: Path, scratch: Path, steps: list[Any], split: dict[str, float] | None = None) -> Path:
    """A recipe file (JSON is YAML) on one input, with an output folder of its own."""
    number = next(_numbers)
    page = {
        "input": {"paths": str(path)},
        "steps": steps,
        "output": {"path": str(scratch / f"out-{number}"), "split": split or {"train": 1.0}},
        "run": {"engine": "local"},
    }
    recipe = scratch / f"recipe-{number}.yaml"
    recipe.write_text(json.dumps(page))
    return recipe


def refine(path: Path, scratch: Path, steps: list[Any]) -> Path:
    """The refine task of a run on one file, in this process. Returns its file of kept documents."""
    from pipeline.engines.local import LocalEngine
    from pipeline.folder import claim
    from pipeline.job import fingerprint, prepare
    from pipeline.plan import stage_tasks

    job, settings = prepare(str(write(path, scratch, steps)))
    claim(job, settings.run)
    specs = [spec | {"job": fingerprint(job.as_json())} for spec in stage_tasks(job, "refine", [])]
    results = list(LocalEngine().map(specs))
    failed = [result for result in results if not result["ok"]]
    assert not failed, failed
    return Path(job.output) / ".work" / "refine" / "000000.docs.arrow"


def whole_run(path: Path, scratch: Path, steps: list[Any]) -> Path:
    """All stages of a run in this process. Returns the output folder."""
    from pipeline.engines.local import LocalEngine
    from pipeline.job import prepare
    from pipeline.progress import Silent
    from pipeline.run import run

    job, recipe = prepare(str(write(path, scratch, steps)))
    run(job, recipe.run, LocalEngine(), Silent())
    return Path(job.output)
