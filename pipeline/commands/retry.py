"""`gristmill retry OUT --quarantined`: what could not be read is read again, and everything that hangs on it is done again.

In:  the folder of a run, and shards that were fetched again, mended, or only unlucky (a machine without memory)
Out: the corpus that a fresh run would make of the input as it is now, to the byte

A task of the stages fit and refine is done again if its shards hold a quarantined record, a damaged or quarantined shard, or a
document that a step failed on (`error.*`), or if a file of it is another one than it was. The manifests of all other tasks of these
stages stay, so their shards are not read again, if the files between stages are there: an unfinished run has them, one with
`run.keep_work`, and one that ended with exit code 3. (If a mended shard changes the bounds of a fitted rule, all tasks of refine are done
again.) Of a run that removed them all shards are read again. Where nothing is quarantined, nothing is done. The work is done as the run
before did it (the recipe's `run`), but for what is asked for otherwise.
"""

from __future__ import annotations

import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipeline.engines import Engine
from pipeline.errors import InputError, RecipeError, RunError
from pipeline.files import inputs, parts, storage
from pipeline.files.lease import Lease
from pipeline.files.stage_files import manifests, stage_path
from pipeline.folder import clear_outputs, corpus_manifest, differences, sweep, write_job
from pipeline.job import Job, code_version, libraries
from pipeline.output.finish import too_many_quarantined
from pipeline.plan import stage_tasks
from pipeline.recipes.recipe import Run, letter
from pipeline.recipes.source import Source, override
from pipeline.refining.fit import to_fit
from pipeline.run import Reporter, run, stage_hash
from pipeline.tasks import job_path

ASKED_AT_ONCE = 16  # files are asked for by so many threads: a request to a server is 50 ms of waiting


def _told(output: str) -> dict[str, Any]:
    """What `pipeline.folder.write_job` wrote. Errors: InputError."""
    path = job_path(inputs.absolute(output))
    if not storage.exists(path):
        raise InputError(
            f"{output}: no run of gristmill is here (there is no .work/job.json). Give the output folder of a run."
        )
    return json.loads(storage.read_bytes(path))


def open_job(output: str) -> Job:
    """The job of the run in a folder. Errors: InputError if there is none, RunError if other code made it."""
    job = replace(Job(**_told(output)["job"]), output=inputs.absolute(output))
    now = {"code": code_version(), "libraries": libraries(), "unicode": unicodedata.unidata_version}
    changed = differences({name: job.refine[name] for name in now}, now)
    if changed:
        raise RunError(
            f"{output} was made by another version of gristmill or of a library:\n"
            + "".join(f"  {line}\n" for line in changed)
            + "Another version reads and judges all documents again. Give the recipe to 'gristmill run' with --fresh, or use the "
            "versions that made it."
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
        others = _others(job)
        names = {*before, *others} if known else {shard["name"] for shard in job.shards}
        now, stays = _prepared(_with(job, settings), names, settings)
    unless = ", unless other bounds are fitted" if to_fit(now) else ""
    reporter.note(
        f"reading {len(names)} of {len(job.shards)} shards again; {len(stays)} tasks of the others stay as they are{unless}"
    )
    manifest = run(now, settings, engine, reporter, keep_work=True).manifest
    lines = mended(before, troubled(now), now)
    lines += [f"{name}: another file than it was -> read again" for name in sorted(others - before.keys())]
    kept = len(stays & _refined(now).keys())
    bad = too_many_quarantined(manifest, settings.max_quarantined)
    if not settings.keep_work and not bad:
        sweep(now)
    return Told(manifest, lines, kept, 3 if bad else 0)


def run_settings(output: str, assignments: list[str]) -> Run:
    """How the last run or retry of a folder was done, with `--set run.KEY=VALUE`. Errors: RecipeError, for any other key too;
    InputError if there is no run."""
    source = Source("--set", {"run": _told(output).get("run", {})})
    for assignment in assignments:
        if not assignment.startswith("run."):
            raise RecipeError(f"--set {assignment}: a retry can change only how the work is done: run.KEY=VALUE.")
        override(source, assignment)
    try:
        return Run.model_validate(source.data["run"])
    except ValidationError as error:
        raise RecipeError(letter(error, source, ("run",), Run)) from None


def _with(job: Job, settings: Run) -> Job:
    """The job, done as the settings say where they say anything."""
    given = settings.model_fields_set & {"batch_size", "memory", "isolate", "document_seconds", "document_memory"}
    return replace(job, **{name: getattr(settings, name) for name in given})


def _prepared(job: Job, names: set[str], settings: Run) -> tuple[Job, set[str]]:
    """The job with its troubled files as they are now, ready to be run: what hangs on them is gone. Also the finished
    refine tasks that stay. Errors: InputError if such a file is not there any more.
    """
    now = replace(job, shards=_as_they_are(job, names))
    again = {
        shard["name"] for shard in now.shards if shard["path"] in {s["path"] for s in job.shards if s["name"] in names}
    }
    upstream = {"fit": [], "refine": _upstream(job)}
    stays = {
        stage: {spec["task"] for spec in _tasks(now, stage, hashes) if not again & {s["name"] for s in spec["shards"]}}
        for stage, hashes in upstream.items()
    }
    done = _refined(job).keys()
    clear_outputs(job.output)
    write_job(now, settings)
    for file in storage.list_files(storage.join(job.work, "manifests"), ".json"):
        stage, task = file.path.replace("\\", "/").removesuffix(".json").split("/")[-2:]
        if task not in stays.get(stage, ()):
            storage.delete(file.path)
    storage.delete_tree(storage.join(job.work, "attempts"))
    return now, stays["refine"] & done


def _upstream(job: Job) -> list[str]:
    """The hashes of the stages that tasks of refine know: of its fitted bounds, where it has any and they are there."""
    there = to_fit(job) and storage.exists(stage_path(job.output, "fitted"))
    return [stage_hash(manifests(job.output, "fitted"))] if there else []


def _tasks(job: Job, stage: str, upstream: list[str]) -> list[dict[str, Any]]:
    return stage_tasks(job, stage, upstream) if stage == "refine" or to_fit(job) else []


def _refined(job: Job) -> dict[str, dict[str, Any]]:
    """Task -> manifest of what is done of refine, and of this very input."""
    folder = storage.join(job.work, "manifests", "refine")
    known = {spec["task"] for spec in stage_tasks(job, "refine", _upstream(job))}
    found = {}
    for file in storage.list_files(folder, ".json"):
        manifest = json.loads(storage.read_bytes(file.path))
        if manifest["task"] in known:
            found[manifest["task"]] = manifest
    return found


def _others(job: Job) -> set[str]:
    """Names of the shards whose file is another one than it was. Errors: InputError if one is gone and would have to be read."""
    done = _refined(job).keys()
    specs = [spec for spec in stage_tasks(job, "refine", _upstream(job)) if spec["task"] in done]
    read = {shard["path"] for spec in specs for shard in spec["shards"]}
    files: dict[str, list[dict[str, Any]]] = {}
    for shard in job.shards:
        if shard["format"] != "sql":
            files.setdefault(shard["path"], []).append(shard)
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        changed = list(pool.map(lambda path: _is_other(path, files[path], path in read), files))
    return {shard["name"] for path, other in zip(files, changed) if other for shard in files[path]}


def _is_other(path: str, shards: list[dict[str, Any]], read: bool) -> bool:
    """Whether a file is not what its shards were cut from. One that is gone, and was read, is not missed."""
    try:
        now = storage.stat(path)
    except InputError as error:
        if read:
            return False
        raise InputError(
            f"{error} It would have to be read again. Put it back, or run the recipe without it into another folder."
        ) from None
    size = max(shard["part"][1] if "part" in shard else shard["size"] for shard in shards)
    return (now.size, now.version) != (size, shards[0]["version"])


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
