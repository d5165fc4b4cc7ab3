"""The stages of a run and the tasks of each, from the job and what earlier stages found.

    (fit -> fitted ->)
    refine (-> lines-... -> substrings-...) -> band (-> bucket) -> match -> resolve-0 (-> sides-0) -> assign-0
    (-> probe-0 -> resolve-1 (-> sides-1) -> assign-1 ...) (-> conflicts-1) (-> mix-1-0 ... mix-1-4, after round 1 of assign)
    -> deal -> publish

A task's id is a hash of all that its result depends on: the stage, its place in it, the code, the part of the
recipe it reads, and the bytes of its inputs (files by path, size and version; earlier stages by their manifests).
"""

from __future__ import annotations

from typing import Any

from pipeline.cutting.cut import STAGES as CUT_STAGES
from pipeline.cutting.cut import cut_tasks
from pipeline.documents import documents
from pipeline.files.stage_files import manifests
from pipeline.job import Job, code_version, fingerprint
from pipeline.matching.groups import bucket_tasks, groups, partitions
from pipeline.matching.older import compared
from pipeline.matching.probe import heldout_chunks
from pipeline.mixtures.mixing import last_stage
from pipeline.mixtures.mixing import tasks as mix_tasks
from pipeline.refining.fit import share, to_fit

BUNDLE_BYTES = 8 << 20
BUNDLE_FILES = 64
"""Small input files share a refine task up to this much: a task costs 20 ms to schedule and should last seconds."""


def bundles(shards: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Shards in the groups that make a refine task; depends on the input alone."""
    result: list[list[dict[str, Any]]] = []
    size = 0
    for shard in shards:
        full = not result or size + shard["size"] > BUNDLE_BYTES or len(result[-1]) == BUNDLE_FILES
        if full or result[-1][0]["input"] != shard["input"]:
            result.append([])
            size = 0
        result[-1].append(shard)
        size += shard["size"]
    return result


def stage_tasks(job: Job, stage: str, upstream: list[str]) -> list[dict[str, Any]]:
    """Specs of all tasks of a stage. `upstream` are the hashes of the stages it reads."""
    kind, _, round_text = stage.partition("-")
    this_round = int(round_text) if round_text.isdigit() else 0
    bodies: list[dict[str, Any]]
    if kind == "fit":
        shares = {step["name"]: share(job, step) for step in to_fit(job)}
        bodies = [{"shards": bundle, "shares": shares} for bundle in bundles(job.shards)]
    elif kind == "fitted":
        bodies = [{}]
    elif kind == "refine":
        bodies = [{"shards": bundle} for bundle in bundles(job.shards)]
    elif kind == "index":
        bodies = [{"shards": bundle} for bundle in bundles([s for e in job.older for s in e.get("shards", [])])]
    elif kind in CUT_STAGES:
        bodies = [{} for _ in range(cut_tasks(job, stage))]
    elif kind in ("resolve", "sides"):
        bodies = [{"round": this_round}]
    elif kind == "assign":
        bodies = [{"round": this_round} for _ in groups(compared(job))]
    elif kind == "probe":
        bodies = [
            {"round": this_round, "held": held, "group": group}
            for held, found in heldout_chunks(job, this_round)
            for group in found
        ]
    elif kind == "band":
        bodies = [{} for _ in groups(compared(job))]
    elif kind == "bucket":
        bodies = [{} for _ in range(bucket_tasks(job, compared(job)))]
    elif kind == "match":
        bodies = [{} for _ in range(partitions(job, compared(job)))]
    elif kind == "conflicts":
        bodies = [{"round": this_round}]
    elif kind == "mix":
        bodies = mix_tasks(job, stage)
    elif kind == "deal":
        bodies = [{"round": this_round} for _ in documents(job)]
    else:
        bodies = [
            {"split": split, "part": part}
            for split, found in final_splits(job, this_round).items()
            for part in range(found["parts"])
        ]
    name = kind if kind in ("deal", "publish") else stage
    return [_spec(job, name, index, body, upstream) for index, body in enumerate(bodies)]


def final_splits(job: Job, final_round: int, once: bool = False) -> dict[str, Any]:
    """What will be written of each split: rows, bytes, output shards. `final_round`: the last of assign. `once`: as if each
    document were written once, whatever a mixture says."""
    stage = f"assign-{final_round}" if once else last_stage(job, final_round)
    tasks = [task for m in manifests(job.output, stage) for task in m["counts"]["tasks"]]
    found = {}
    for number, name in enumerate(job.publish["splits"]):
        rows, size = (sum(task[what][number] for task in tasks) for what in (0, 1))
        found[name] = {"rows": rows, "bytes": size, "parts": -(-size // job.publish["shard_size"])}
    return found


PARTS = {
    "fit": ("refine",),
    "fitted": ("refine",),
    "refine": ("refine",),
    "lines": ("refine",),
    "substrings": ("refine",),
    "index": ("refine", "older"),
    "band": ("refine", "near", "older"),
    "bucket": ("refine", "near", "older"),
    "match": ("refine", "near", "older"),
    "probe": ("refine", "near", "older"),
    "resolve": ("refine", "near", "older"),
}


def _spec(job: Job, stage: str, index: int, body: dict[str, Any], upstream: list[str]) -> dict[str, Any]:
    parts = {
        name: part
        for name, part in job.parts().items()
        if name in PARTS.get(stage.split("-")[0], ("refine", "near", "older", "publish"))
    }
    identity = [stage, index, code_version(), parts, body, upstream, job.limit]
    return {"stage": stage, "task": fingerprint(identity), "index": index, "output": job.output, **body}
