"""The output folder: whose it is, and what of it goes when.

A folder belongs to the first job that claims it; another recipe, input or version is refused with a letter that names what
differs. Files between stages lie in ``.work/`` and go when the corpus is finished; `.work/job.json` stays.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pipeline.chat.snippets import AXOLOTL, LLAMA_FACTORY
from pipeline.cutting.cut import STAGES as CUT_STAGES
from pipeline.errors import RecipeError
from pipeline.files import storage
from pipeline.job import Job
from pipeline.output.report import NAME as REPORT
from pipeline.recipes.recipe import Run
from pipeline.tasks import job_path


def identity(job: Job) -> dict[str, Any]:
    """What must be the same for a run to go on in its folder."""
    return {
        **job.parts(),
        "input": {shard["path"]: [shard["size"], shard["version"]] for shard in job.shards},
        "limit": job.limit,
    }


def claim(job: Job, settings: Run) -> str:
    """Makes the output folder this job's, or finds that it is, and notes how the work is done. Returns 'new' or 'resumed'. Errors: RecipeError."""
    path = job_path(job.output)
    if storage.exists(path):
        theirs = json.loads(storage.read_bytes(path))["identity"]
        changed = differences(theirs, json.loads(json.dumps(identity(job))))
        if changed:
            raise RecipeError(_mixed(job, changed))
        write_job(job, settings)
        return "resumed"
    strangers = [f.path for f in storage.list_files(job.output) if "/.work/" not in f.path.replace("\\", "/")]
    if strangers:
        raise RecipeError(
            f"The output folder {job.output} is not empty and no run of gristmill made it ({strangers[0]} is there). "
            "Give another output.path, or empty the folder."
        )
    write_job(job, settings)
    return "new"


def write_job(job: Job, settings: Run) -> None:
    """Says whose folder it is, and how the work is done, for a retry. The recipe keeps the order of its keys: a retry writes it
    into the manifest."""
    told = {"identity": identity(job), "job": asdict(job), "run": settings.model_dump()}
    storage.write_bytes(job_path(job.output), json.dumps(told, ensure_ascii=False).encode())


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two JSON values differ: 'near.threshold: 0.8 -> 0.7'."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i, (a, b) in enumerate(zip(old, new)) for line in differences(a, b, f"{path}.{i}")]
    return [] if old == new else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _mixed(job: Job, changed: list[str]) -> str:
    first = {
        "refine": "everything is done again",
        "input": "everything is done again",
        "limit": "everything is done again",
    }
    first |= {
        "older": "all from band on is done again",
        "near": "all from match on is done again",
        "publish": "all from resolve on is done again",
    }
    hit = {line.split(".")[0].split(":")[0] for line in changed}
    effect = next(text for part, text in first.items() if part in hit)
    done = "holds a finished corpus" if corpus_manifest(job.output) else "holds an unfinished run"
    lines = "\n".join(f"  {line}" for line in changed[:8])
    more = f"\n  ... and {len(changed) - 8} more" if len(changed) > 8 else ""
    return (
        f"The folder {job.output} {done} of another recipe, input or version:\n{lines}{more}\n"
        f"With these changes {effect}; two recipes are never mixed in one folder.\n"
        "Give another output.path (--output), or start over here with --fresh."
    )


def corpus_manifest(output: str) -> dict[str, Any] | None:
    """manifest.json of a finished run, or None."""
    path = storage.join(output, "manifest.json")
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else None


def clear(output: str) -> None:
    """Removes everything a run of gristmill put into the folder, and nothing else."""
    if not storage.exists(job_path(output)):
        return
    clear_outputs(output)
    storage.delete_tree(storage.join(output, ".work", "manifests"))
    _sweep_stages(output)
    storage.delete(job_path(output))


def clear_outputs(output: str) -> None:
    """Removes what the run whose job is there wrote for the user, and what the driver knows of its stages."""
    old = json.loads(storage.read_bytes(job_path(output)))["job"]
    for name in ("manifest.json", "README.md", REPORT, LLAMA_FACTORY, AXOLOTL):
        storage.delete(storage.join(output, name))
    for folder in (
        *old["publish"]["splits"],
        "rejected",
        "removed",
        "quarantine",
        "documents",
        "labels",
        "index",
        ".work/stages",
    ):
        storage.delete_tree(storage.join(output, folder))


def sweep(job: Job) -> None:
    """Removes what only the run itself needed; `.work/job.json` stays, so that the folder knows its recipe."""
    for folder in ("manifests", "stages"):
        storage.delete_tree(storage.join(job.work, folder))
    _sweep_stages(job.output)


SWEPT = ("fit", "refine", "index", "band", "bucket", "match", "conflicts", "mix", "deal", "tmp", "attempts")
"""Work folders besides those of cuts and of rounds."""


def _sweep_stages(output: str) -> None:
    cuts = (stage for stages in CUT_STAGES.values() for stage in stages)
    for folder in (*SWEPT, *cuts):
        storage.delete_tree(storage.join(output, ".work", folder))
    number = 0
    while storage.list_files(storage.join(output, ".work", f"resolve-{number}")):
        for kind in ("resolve", "sides", "assign", "probe"):
            storage.delete_tree(storage.join(output, ".work", f"{kind}-{number}"))
        number += 1
