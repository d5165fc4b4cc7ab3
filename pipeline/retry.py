"""`gristmill retry OUT --quarantined`: what could not be read is read again, and everything that hangs on it is done again.

In:  the folder of a run, and shards that were fetched again, mended, or only unlucky (a machine without memory)
Out: the corpus that a fresh run would make of the input as it is now, to the byte

A task of the stage refine is done again if its shards hold a quarantined record, a damaged or quarantined shard, or a document that
a step failed on (`error.*`), or if a file of it is another one than it was. The manifests of all other tasks of that stage stay, so their
shards are not read again, if the files between stages are there: an unfinished run has them, one with `run.keep_work`,
and one that ended with exit code 3. Of a run that removed them all shards are read again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipeline import inputs, parts, storage
from pipeline.commit import manifest_path
from pipeline.engines import Engine
from pipeline.errors import InputError, RecipeError, RunError
from pipeline.job import Job, code_version
from pipeline.lease import Lease
from pipeline.plan import stage_tasks
from pipeline.recipe import Run, letter
from pipeline.run import Reporter, clear_outputs, corpus_manifest, run, sweep, too_many_quarantined, write_job
from pipeline.source import override, parse
from pipeline.tasks import job_path


def open_job(output: str) -> Job:
    """The job of the run in a folder. Errors: InputError if there is none, RunError if other code made it."""
    path = job_path(inputs.absolute(output))
    if not storage.exists(path):
        raise InputError(
            f"{output}: no run of gristmill is here (there is no .work/job.json). Give the output folder of a run."
        )
    job = replace(Job(**json.loads(storage.read_bytes(path))["job"]), output=inputs.absolute(output))
    if job.refine["code"] != code_version():
        raise RunError(
            f"{output} was made by gristmill {job.refine['code']}, this is {code_version()}: another version reads and judges all "
            "documents again. Give the recipe to 'gristmill run' with --fresh, or use the version that made it."
        )
    return job


def troubled(job: Job) -> dict[str, list[str]]:
    """Name of each shard that is read again -> why. Empty if nothing is quarantined.

    From the manifests of refine, or, where these are gone, from the quarantine and the ledger of the finished corpus.
    """
    found: dict[str, list[str]] = {}
    manifests = _refined(job)
    if not manifests and corpus_manifest(job.output) is not None:
        return _troubled_of_corpus(job)
    for manifest in manifests.values():
        for shard in manifest["counts"]["shards"]:
            why = _why(shard)
            if why:
                found[shard["shard"]] = why
    return found


def _why(shard: dict[str, Any]) -> list[str]:
    account = shard["account"]
    errors = {
        reason: n for by in account["rejected"].values() for reason, n in by.items() if reason.startswith("error.")
    }
    if "quarantined" in shard:
        return [f"not read: {shard['quarantined']}"]
    why = [f"damaged: {shard['damaged']}"] if "damaged" in shard else []
    why += [f"{account['quarantined']:,} records quarantined"] if account["quarantined"] else []
    return why + [f"{n:,} documents rejected with {reason}" for reason, n in sorted(errors.items())]


def _troubled_of_corpus(job: Job) -> dict[str, list[str]]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    entries: dict[str, dict[str, int]] = {}

    def add(shard: str, what: str, n: int) -> None:
        entries.setdefault(shard, {})[what] = entries.setdefault(shard, {}).get(what, 0) + n

    manifest = corpus_manifest(job.output) or {"files": []}
    for file in manifest["files"]:
        path = storage.join(job.output, file["path"])
        if file["path"].startswith("quarantine/"):
            for line in storage.read_bytes(path).splitlines():
                add(json.loads(line)["shard"], "records quarantined", 1)
        elif file["path"].startswith("rejected/"):
            with storage.local_copy(path) as local:
                rows = pq.read_table(local, columns=["shard", "reason"])
            rows = rows.filter(pc.starts_with(rows["reason"], "error."))
            for row in rows.to_pylist():
                add(row["shard"], f"documents rejected with {row['reason']}", 1)
    return {shard: [f"{n:,} {what}" for what, n in sorted(whats.items())] for shard, whats in sorted(entries.items())}


@dataclass(frozen=True)
class Told:
    """What a retry did. lines: one for each shard that was read again; code: 3 if still too many are quarantined."""

    manifest: dict[str, Any]
    lines: list[str]
    tasks_kept: int
    code: int


def retry(output: str, settings: Run, engine: Engine, reporter: Reporter) -> Told:
    """Reads what was quarantined again and makes the corpus anew from there.

    Errors: InputError if there is no run, or a file is gone; RunError if another driver is at it, or other code made it.
    """
    job = open_job(output)
    with Lease(job.output):
        before = troubled(job)
        known = bool(_refined(job)) or corpus_manifest(job.output) is not None
        if known and not before:
            return Told(corpus_manifest(job.output) or {}, [], 0, 0)
        names = set(before) if known else {shard["name"] for shard in job.shards}
        now, kept = _prepared(_with(job, settings), names)
    reporter.note(
        f"reading {len(names)} of {len(job.shards)} shards again; {kept} tasks of the others stay as they are"
    )
    manifest = run(now, settings.model_copy(update={"keep_work": True}), engine, reporter).manifest
    lines = mended(before, troubled(now), now)
    bad = too_many_quarantined(manifest, settings.max_quarantined)
    if not settings.keep_work and not bad:
        sweep(now)
    return Told(manifest, lines, kept, 3 if bad else 0)


def run_settings(assignments: list[str]) -> Run:
    """The `run` part of a recipe from `--set run.KEY=VALUE`. Errors: RecipeError, for any other key too."""
    source = parse("{}", "--set")
    for assignment in assignments:
        if not assignment.startswith("run."):
            raise RecipeError(f"--set {assignment}: a retry can change only how the work is done: run.KEY=VALUE.")
        override(source, assignment)
    try:
        return Run.model_validate(source.data.get("run", {}))
    except ValidationError as error:
        raise RecipeError(letter(error, source, ("run",), Run)) from None


def _with(job: Job, settings: Run) -> Job:
    """The job, done as the settings say where they say anything."""
    given = settings.model_fields_set & {"batch_size", "memory", "isolate", "document_seconds", "document_memory"}
    return replace(job, **{name: getattr(settings, name) for name in given})


def _prepared(job: Job, names: set[str]) -> tuple[Job, int]:
    """The job with its troubled files as they are now, ready to be run: what hangs on them is gone. Also how many finished
    refine tasks stay. Errors: InputError if such a file is not there any more.
    """
    now = replace(job, shards=_as_they_are(job, names))
    again = {
        shard["name"] for shard in now.shards if shard["path"] in {s["path"] for s in job.shards if s["name"] in names}
    }
    stays = {spec["task"] for spec in stage_tasks(now, "refine", []) if not again & {s["name"] for s in spec["shards"]}}
    done = _refined(job)
    clear_outputs(job.output)
    write_job(now)
    for task in done.keys() - stays:
        storage.delete(manifest_path(job.output, "refine", task))
    for file in storage.list_files(storage.join(job.work, "manifests"), ".json"):
        if "/manifests/refine/" not in file.path.replace("\\", "/"):
            storage.delete(file.path)
    storage.delete_tree(storage.join(job.work, "attempts"))
    return now, len(stays & done.keys())


def _refined(job: Job) -> dict[str, dict[str, Any]]:
    """Task -> manifest of what is done of refine, and of this very input."""
    folder = storage.join(job.work, "manifests", "refine")
    known = {spec["task"] for spec in stage_tasks(job, "refine", [])}
    found = {}
    for file in storage.list_files(folder, ".json"):
        manifest = json.loads(storage.read_bytes(file.path))
        if manifest["task"] in known:
            found[manifest["task"]] = manifest
    return found


def _as_they_are(job: Job, names: set[str]) -> list[dict[str, Any]]:
    """The shards; those of troubled files with the size and version that the file has now, cut anew."""
    files = {shard["path"] for shard in job.shards if shard["name"] in names and shard["format"] != "sql"}
    found = [shard for shard in job.shards if shard["path"] not in files]
    for path in sorted(files):
        old = next(shard for shard in job.shards if shard["path"] == path)
        stat = _stat(path)
        whole = {name: value for name, value in old.items() if name != "part"}
        whole |= {"name": _file_name(old), "size": stat.size, "version": stat.version}
        if "wat" in old:
            other = _stat(old["wat"]["path"])
            whole["wat"] = {**old["wat"], "size": other.size, "version": other.version}
        found += parts.cut(whole, job.refine["inputs"][old["input"]].get("unit"))
    return sorted(found, key=lambda shard: shard["path"])


def _stat(path: str) -> storage.FileInfo:
    try:
        return storage.stat(path)
    except InputError as error:
        raise InputError(
            f"{error} It is quarantined. Put it back, or run the recipe without it into another folder."
        ) from None


def _file_name(shard: dict[str, Any]) -> str:
    """The file's name as the recipe gave it, without the part's range."""
    return shard["name"].rpartition("#")[0] if "part" in shard else shard["name"]


def mended(before: dict[str, list[str]], after: dict[str, list[str]], job: Job) -> list[str]:
    """One line for each shard that was read again: what it had, and what it has now."""
    names = {shard["name"] for shard in job.shards}
    lines = []
    for name, why in sorted(before.items()):
        now = after.get(name, [])
        state = "as before" if now == why else "; ".join(now) if now else "mended" if name in names else "cut anew"
        lines.append(f"{name}: {'; '.join(why)} -> {state}")
    return lines + [f"{name}: {'; '.join(why)} (new)" for name, why in sorted(after.items()) if name not in before]
