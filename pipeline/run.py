"""The driver: stages in order, each task once, the account at the end.

A run is a loop that can be left at any moment and entered again: what has a manifest is done. The driver keeps
nothing in memory that it could not read back from ``.work/``.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pipeline import ledger
from pipeline.chat.snippets import AXOLOTL, LLAMA_FACTORY
from pipeline.cutting import decontaminated
from pipeline.cutting.cut import STAGES as CUT_STAGES
from pipeline.cutting.files import summary as cut_summary
from pipeline.engines import Engine
from pipeline.errors import RecipeError, RunError
from pipeline.files import storage
from pipeline.files.commit import finished, read_manifest
from pipeline.files.lease import Lease
from pipeline.files.stage_files import manifests, stage_path
from pipeline.job import Job, fingerprint
from pipeline.matching.guard import guard, source_losses
from pipeline.matching.older import write_index_manifest
from pipeline.mixtures.augmented import augment_summary
from pipeline.mixtures.conflicts import stage_of as conflict_stage
from pipeline.mixtures.labels import labels_summary
from pipeline.mixtures.mixing import mix_summary
from pipeline.mixtures.mixing import rounds as mix_rounds
from pipeline.output.card import write_card, write_manifest, write_snippets
from pipeline.output.report import NAME as REPORT
from pipeline.output.report import write_report
from pipeline.output.told import told
from pipeline.plan import final_splits, stage_tasks
from pipeline.recipes.recipe import Run
from pipeline.refining.fit import to_fit
from pipeline.splits.report import split_summary
from pipeline.splits.sides import check_columns
from pipeline.splits.units import needed
from pipeline.tasks import job_path

NEVER_SKIPPED = ("fit", "refine")
"""Stages whose broken tasks are set aside with their shards; in any other a task that fails for good ends the run."""


class Reporter(Protocol):
    """What the driver tells while it works; see `pipeline.progress`."""

    def stage(self, name: str, total: int, done: int, size: int) -> None: ...
    def task(self, result: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class Outcome:
    """How a run ended."""

    manifest: dict[str, Any]
    seconds: float
    resumed: bool = False
    already: bool = False
    stage_seconds: dict[str, float] = field(default_factory=dict)


def run(
    job: Job, settings: Run, engine: Engine, reporter: Reporter, fresh: bool = False, keep_work: bool = False
) -> Outcome:
    """Makes the corpus, or goes on making it. `keep_work`: the files between stages stay, whatever the settings say.

    Errors: RecipeError if the folder is another recipe's or no run's; RunError if another driver holds it or a task failed for good.
    """
    started = time.perf_counter()
    with Lease(job.output):
        if fresh:
            clear(job.output)
        state = claim(job, settings)
        keep_work = keep_work or settings.keep_work
        done = corpus_manifest(job.output)
        if done is not None:
            if not keep_work and not too_many_quarantined(done, settings.max_quarantined):
                sweep(job)  # a run that was killed after its manifest has not come to this
            return Outcome(done, time.perf_counter() - started, already=True)
        driver = _Driver(job, settings, engine, reporter)
        final_round = driver.stages()
        manifest = finish(job, final_round)
        if not keep_work and not too_many_quarantined(manifest, settings.max_quarantined):
            sweep(job)
    return Outcome(manifest, time.perf_counter() - started, resumed=state == "resumed", stage_seconds=driver.seconds)


def make_index(job: Job, settings: Run, engine: Engine, reporter: Reporter) -> dict[str, int]:
    """Makes the index that a job of `pipeline.matching.older.index_job` asks for, or goes on making it. Returns its counts."""
    with Lease(job.output):
        claim(job, settings)
        driver = _Driver(job, settings, engine, reporter)
        driver.stage("index", [])
        found = manifests(job.output, "index")
        named = [{o["name"]: o for o in manifest["outputs"]} for manifest in found]
        parts = [[outputs["features"], outputs["shingles"]] for outputs in named]
        write_index_manifest(job.output, job.refine["minhash"], parts)
        storage.delete_tree(job.work)
    return {name: sum(manifest["counts"][name] for manifest in found) for name in ("rows", "quarantined")}


# -- whose folder it is ----------------------------------------------------------------------------


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


# -- the stages ------------------------------------------------------------------------------------


def stage_hash(found: list[dict[str, Any]]) -> str:
    """Of the manifests of a finished stage: what a later stage's tasks know it by."""
    return fingerprint([[manifest["task"], [o["sha256"] for o in manifest["outputs"]]] for manifest in found])


class _Driver:
    def __init__(self, job: Job, settings: Run, engine: Engine, reporter: Reporter) -> None:
        self.job = job
        self.settings = settings
        self.engine = engine
        self.reporter = reporter
        self.seconds: dict[str, float] = {}
        self._job_hash = fingerprint(job.as_json())

    def stages(self) -> int:
        """Runs every stage; returns the number of the last resolve round."""
        refined = self._texts()
        older = [self.stage("index", [])] if any("shards" in entry for entry in self.job.older) else []
        refined = fingerprint([refined, *older]) if older else refined
        banded = self.stage("band", [refined])
        matched = self.stage("match", [refined, banded])
        found, number = [refined, matched], 0
        while True:
            resolved = self.stage(f"resolve-{number}", found)
            decided = [refined, resolved]
            if needed(self.job):
                decided.append(self.stage(f"sides-{number}", [*found, resolved]))
                check_columns(self.job, number)
            assigned = self.stage(f"assign-{number}", decided)
            if not sum(m["counts"]["heldout"] for m in manifests(self.job.output, f"assign-{number}")):
                break
            found = [*found, self.stage(f"probe-{number}", [refined, assigned])]
            number += 1
        if self.settings.max_source_loss < 1:
            guard(self.job, number, self.settings.max_source_loss)
        for name in conflict_stage(self.job, number):
            assigned = self.stage(name, [refined, assigned])
        for name in mix_rounds(self.job, number):
            assigned = self.stage(name, [refined, assigned])
        dealt = self.stage(f"deal-{number}", [refined, assigned])
        self.stage(f"publish-{number}", [dealt])
        return number

    def _texts(self) -> str:
        """Refine, and the stages that cut texts; returns the hash of the last of them."""
        fitted = [self.stage("fitted", [self.stage("fit", [])])] if to_fit(self.job) else []
        texts = self.stage("refine", fitted)
        for kind in self.job.refine["cuts"]:
            found = [texts]
            for name in CUT_STAGES[kind]:
                found.append(self.stage(name, found))
            texts = found[-1]
        return texts

    def stage(self, name: str, upstream: list[str]) -> str:
        """Does what is left of a stage; returns the hash of its manifests."""
        started = time.perf_counter()
        specs = stage_tasks(self.job, name, upstream)
        stage = specs[0]["stage"] if specs else name.split("-")[0]
        there = finished(self.job.output, stage)
        todo = [spec | {"job": self._job_hash} for spec in specs if spec["task"] not in there]
        sizes = {spec["task"]: sum(shard["size"] for shard in spec.get("shards", [])) for spec in specs}
        self.reporter.stage(stage, len(specs), len(specs) - len(todo), sum(sizes[spec["task"]] for spec in todo))
        self._work_off(todo, sizes)
        found = [read_manifest(self.job.output, stage, spec["task"]) for spec in specs]
        text = json.dumps(found, ensure_ascii=False, sort_keys=True)
        storage.write_bytes(stage_path(self.job.output, stage), text.encode())
        self.seconds[stage] = time.perf_counter() - started
        return stage_hash([manifest for manifest in found if manifest])

    def _work_off(self, todo: list[dict[str, Any]], sizes: dict[str, int]) -> None:
        """Runs tasks until each is done; a failed one is tried again up to the recipe's number of attempts."""
        failures: dict[str, int] = {}
        waiting = todo
        while waiting:
            specs, waiting = {spec["task"]: spec for spec in waiting}, []
            for result in self.engine.map(list(specs.values())):
                spec = specs[result["task"]]
                if result["ok"]:
                    self.reporter.task({**result, "size": sizes[result["task"]]})
                    continue
                failures[result["task"]] = failures.get(result["task"], 0) + 1
                waiting.append(self._after_failure(spec, result, failures[result["task"]]))

    def _after_failure(self, spec: dict[str, Any], result: dict[str, Any], failures: int) -> dict[str, Any]:
        """The spec to try next. Errors: RunError if there is none."""
        if result.get("died") and spec["stage"] in NEVER_SKIPPED:
            return self._set_aside(spec, result["error"])
        if failures < self.settings.attempts and not result.get("died"):
            self.reporter.note(f"{spec['stage']} task {spec['index']} failed, trying again: {result['error']}")
            return spec
        trace = f"\n{result['trace']}" if result["trace"] else ""
        raise RunError(
            f"{spec['stage']} task {spec['index']} failed {failures} times: {result['error']}{trace}\n"
            f"What is done is kept in {storage.join(self.job.output, '.work')}; the same command goes on from there."
        )

    def _set_aside(self, spec: dict[str, Any], error: str) -> dict[str, Any]:
        """The spec without the shard that its worker died on, and without those that were set aside before, by this command or
        an earlier one: of two that end the process, in one task, each would else be tried again because of the other."""
        mark, earlier = (
            storage.join(self.job.output, ".work", "attempts", f"{spec['task']}.{ending}")
            for ending in ("shard", "given_up")
        )
        tried = spec.get("give_up", {})
        given_up = {**(json.loads(storage.read_bytes(earlier)) if storage.exists(earlier) else {}), **tried}
        dying = storage.read_bytes(mark).decode() if storage.exists(mark) else ""
        if dying in given_up and dying not in tried:
            return {**spec, "give_up": given_up, "session": f"retry-{time.time_ns():x}"}
        left = [shard["path"] for shard in spec["shards"] if shard["path"] not in given_up]
        culprit = dying if dying in left else left[0]
        lost = "is quarantined" if spec["stage"] == "refine" else "is left out of the sample that bounds are fitted to"
        self.reporter.note(f"{culprit} {lost}: {error}")
        given_up[culprit] = error
        storage.write_bytes(earlier, json.dumps(given_up).encode())
        return {**spec, "give_up": given_up, "session": f"retry-{time.time_ns():x}"}


# -- the end ---------------------------------------------------------------------------------------


def finish(job: Job, final_round: int) -> dict[str, Any]:
    """Proves the account and writes README.md, report.html and, last, manifest.json."""
    manifest = summary(job, final_round)
    if job.publish["index"] and job.refine["minhash"]:
        _write_index(job)
    if job.publish["tokens"]:
        from pipeline.tokenized.indexes import write_indexes
        from pipeline.tokenized.publish import told as tokens_told

        published = manifests(job.output, "publish")
        manifest["tokens"] = tokens_told(job.publish, published)
        manifest["files"] += write_indexes(job.output, job.publish, published)
        manifest["files"].sort(key=lambda entry: entry["path"])
    write_card(job, manifest)
    write_snippets(job, manifest)
    write_report(job.output, manifest)
    write_manifest(job, manifest)
    return manifest


def _write_index(job: Job) -> None:
    """index/manifest.json, so that later runs can be compared with this one."""
    named = [
        {o["name"]: {**o, "path": o["path"].removeprefix("index/")} for o in m["outputs"]}
        for m in manifests(job.output, "deal")
    ]
    parts = [[outputs["index_features"], outputs["index_shingles"]] for outputs in named]
    write_index_manifest(storage.join(job.output, "index"), job.refine["minhash"], parts)


def summary(job: Job, final_round: int) -> dict[str, Any]:
    """The run's manifest from the manifests of its stages. Asserts the account."""
    refined, resolved = manifests(job.output, "refine"), manifests(job.output, f"resolve-{final_round}")[0]["counts"]
    splits, once = (final_splits(job, final_round, each) for each in (False, True))
    dealt, published = manifests(job.output, "deal"), manifests(job.output, "publish")
    account = ledger.new_account()
    for manifest in refined:
        ledger.add(account, manifest["counts"]["account"])
    cuts = {kind: manifests(job.output, f"{kind}-cut") for kind in job.refine["cuts"]}
    cut = [manifest for found in cuts.values() for manifest in found]
    for manifest in (*cut, *dealt):
        ledger.add(account, {"read": 0, "kept": 0, "quarantined": 0, "rejected": manifest["counts"]["rejected"]})
    copied = sum(manifest["counts"]["copies"] for manifest in dealt)
    copies = copied + sum(manifest["counts"]["augmented"]["rows"] for manifest in dealt)
    account["kept"] = sum(manifest["counts"]["rows"] for manifest in published) - copies
    ledger.assert_balanced(account, "the run")
    assigned = sum(found["rows"] for found in splits.values())
    if account["kept"] + copies != assigned:
        raise AssertionError(f"assign kept {assigned} documents, {account['kept'] + copies} were written")
    matched = [manifest["counts"] for manifest in manifests(job.output, "match")]
    probes = [m["counts"]["pairs"] for number in range(final_round) for m in manifests(job.output, f"probe-{number}")]
    contradicted = [m for stage in conflict_stage(job, final_round) for m in manifests(job.output, stage)]
    files = [
        o for m in (*published, *dealt, *cut, *contradicted) for o in m["outputs"] if not o["path"].startswith(".work/")
    ]
    shards = [shard for manifest in refined for shard in manifest["counts"]["shards"]]
    return {
        "files": sorted(({k: o[k] for k in ("path", "rows", "bytes", "sha256")} for o in files), key=lambda o: o["path"]),
        "account": {"read": account["read"], "kept": account["kept"], "rejected": ledger.rejected_total(account), "quarantined": account["quarantined"]},
        "splits": {name: found["rows"] for name, found in splits.items()},
        **({"copies": copied, "mix": mix_summary(job, final_round)} if job.publish["mix"] else {}),
        **({"split": sides} if (sides := split_summary(job, final_round, once)) else {}),
        "rejected": dict(sorted((step, dict(sorted(why.items()))) for step, why in account["rejected"].items())),
        **({"labels": labels_summary(job, refined, dealt, account["rejected"], contradicted[0]["counts"])} if contradicted else {}),
        **({"augment": augment_summary(job, mix_summary(job, final_round, "augment"), dealt)} if job.publish["augment"] else {}),
        "edited": _summed(manifest["counts"]["edited"] for manifest in refined),
        "cut": cut_summary(job, {kind: [m["counts"] for m in found] for kind, found in cuts.items()}),
        "decontamination": decontaminated.summary(job.refine["steps"], [m["counts"]["contaminated"] for m in refined]), **told(job, refined),
        "skipped": _summed(manifest["counts"]["skipped"] for manifest in refined),
        "shards": {
            "read": len(shards),
            "quarantined": {s["shard"]: s["quarantined"] for s in shards if "quarantined" in s},
            "damaged": {s["shard"]: s["damaged"] for s in shards if "damaged" in s},
        },
        "bytes": {"read": sum(m["counts"]["bytes"] for m in refined), "kept": sum(found["bytes"] for found in splits.values())},
        "dedup": {
            "threshold": job.near["threshold"], "similarity": job.near["similarity"],
            "shingle": job.refine["minhash"]["shingle"] if job.refine["minhash"] else None,
            "pairs_compared": sum(m["compared"] for m in matched), "pairs_proven": sum(m["pairs"] for m in matched) + sum(probes),
            "pairs_left_uncompared": sum(m["uncompared"] for m in matched), "split_probes": sum(probes),
            "repeated_ids": sum(m["repeated_ids"] for m in matched),
            "documents_in_pairs": resolved["docs"], "clusters": resolved["clusters"],
            "largest_clusters": [size for _, size in resolved["largest"][:5]],
            "sources": {name: {"documents": docs, "removed": gone} for name, (docs, gone) in source_losses(job, final_round).items()},
        },
        "recipe": job.recipe,
        "steps": [*(step["name"] for step in (*job.refine["steps"], *job.refine["cuts"].values())), *job.near["names"].values()],
        "versions": {"gristmill": job.refine["code"], **job.refine["libraries"]},
        "input": [
            {"path": shard["name"], "bytes": shard["size"], **({"wat": shard["wat"]["name"]} if "wat" in shard else {})} for shard in job.shards
        ],
    }  # fmt: skip


def _summed(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, n in part.items():
            total[name] = total.get(name, 0) + n
    return dict(sorted(total.items()))


def too_many_quarantined(manifest: dict[str, Any], allowed: float) -> bool:
    """Whether a larger share of the shards is quarantined than the recipe allows. Then the files between stages stay, for
    `gristmill retry`."""
    return len(manifest["shards"]["quarantined"]) / max(manifest["shards"]["read"], 1) > allowed


def sweep(job: Job) -> None:
    """Removes what only the run itself needed; `.work/job.json` stays, so that the folder knows its recipe."""
    for folder in ("manifests", "stages"):
        storage.delete_tree(storage.join(job.work, folder))
    _sweep_stages(job.output)


def _sweep_stages(output: str) -> None:
    cuts = (stage for stages in CUT_STAGES.values() for stage in stages)
    for folder in ("fit", "refine", *cuts, "index", "band", "match", "conflicts", "mix", "deal", "tmp", "attempts"):
        storage.delete_tree(storage.join(output, ".work", folder))
    number = 0
    while storage.list_files(storage.join(output, ".work", f"resolve-{number}")):
        for kind in ("resolve", "sides", "assign", "probe"):
            storage.delete_tree(storage.join(output, ".work", f"{kind}-{number}"))
        number += 1
