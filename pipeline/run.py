"""The driver: stages in order, each task once, the account at the end.

A run is a loop that can be left at any moment and entered again: what has a manifest is done. The driver keeps
nothing in memory that it could not read back from ``.work/``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.cutting.cut import STAGES as CUT_STAGES
from pipeline.engines import Engine
from pipeline.errors import RunError
from pipeline.files import storage
from pipeline.files.commit import digest, finished, read_manifest
from pipeline.files.lease import Lease
from pipeline.files.stage_files import manifests, stage_path
from pipeline.folder import claim, clear, corpus_manifest, sweep
from pipeline.job import Job, fingerprint
from pipeline.matching.groups import bucket_tasks
from pipeline.matching.guard import guard
from pipeline.matching.older import compared, write_index_manifest
from pipeline.mixtures.conflicts import stage_of as conflict_stage
from pipeline.mixtures.mixing import rounds as mix_rounds
from pipeline.output.finish import finish, too_many_quarantined
from pipeline.plan import stage_tasks
from pipeline.recipes.recipe import Run
from pipeline.refining.fit import to_fit
from pipeline.splits.sides import check_columns
from pipeline.splits.units import needed

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


def stage_hash(found: list[dict[str, Any]]) -> str:
    """Of the manifests of a finished stage: what a later stage's tasks know it by."""
    return fingerprint([[manifest["task"], [digest(o) for o in manifest["outputs"]]] for manifest in found])


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
        banded = [refined, self.stage("band", [refined])]
        if bucket_tasks(self.job, compared(self.job)):
            banded.append(self.stage("bucket", banded))
        matched = self.stage("match", banded)
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
