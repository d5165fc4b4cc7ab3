"""What `gristmill plan` shows: steps, stages, tasks, bytes, and what is done already."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from dedup.containment import found_chance
from dedup.minhash import Bands, recall_curve
from dedup.shingling import kind_of
from pipeline.cutting.cut import cut_stages
from pipeline.files import storage
from pipeline.files.commit import finished
from pipeline.folder import corpus_manifest
from pipeline.job import Job
from pipeline.mixtures.labels import STEP as LABELS_STEP
from pipeline.mixtures.mix import mix_words
from pipeline.mixtures.mixing import specs
from pipeline.mixtures.mixture import exact, mix_lines
from pipeline.plan import bundles, stage_tasks
from pipeline.refining.fit import to_fit
from pipeline.splits.options import split_text

LATER = ("band", "bucket", "match", "resolve", "sides", "assign", "probe", "deal", "publish")


def outlook(job: Job) -> dict[str, Any]:
    """Plain data; nothing is read but listings and the manifests of a run that was begun."""
    made, spec = corpus_manifest(job.output), job.publish["mix"]
    later = (
        *LATER[:-2],
        *(["conflicts"] if job.refine["labels"] else []),
        *(["mix"] if specs(job) else []),
        *LATER[-2:],
    )
    kinds = Counter(shard["format"] for shard in job.shards)
    there = finished(job.output, "refine") if storage.exists(storage.join(job.work, "job.json")) else set()
    fits = {stage: _begun(job, stage) for stage in ("fit", "fitted")} if to_fit(job) else {}
    done = sum(spec["task"] in there for spec in stage_tasks(job, "refine", []))
    sketch = job.refine["minhash"]
    return {
        "input": {
            "files": len(job.shards),
            "bytes": sum(shard["size"] for shard in job.shards),
            "formats": dict(kinds),
        },
        "steps": [
            _step({"name": LABELS_STEP, "where": {}, "kind": "labels", "options": part})
            for part in [job.refine["labels"]]
            if part
        ]
        + [_step(step) for step in job.refine["steps"]]
        + [_cut(options) for options in job.refine["cuts"].values()]
        + [f"{name}  {_dedup(job, kind)}" for kind, name in job.near["names"].items()],
        "stages": {
            **fits,
            "refine": {"tasks": len(bundles(job.shards)), "done": _begun(job, "refine")["done"] if fits else done},
            **{stage: _begun(job, stage) for stage in (*cut_stages(job), *later)},
        },
        "recall": [[round(s, 2), round(p, 4)] for s, p in _recall(sketch) if s >= 0.5] if sketch else [],
        "output": {"path": job.output, **job.publish, "finished": made is not None},
        "mix": {
            "words": mix_words(spec, job.publish["splits"]),
            # a finished run has swept its work away
            "counts": made["mix"] if made and made.get("mix") else exact(job),
        }
        if spec
        else None,
    }


def _recall(sketch: dict[str, Any]) -> list[tuple[float, float]]:
    if "queries" in sketch:
        return [(step / 20, found_chance(sketch["queries"], step / 20)) for step in range(21)]
    return recall_curve(Bands(sketch["bands"], sketch["rows"]))


def _begun(job: Job, stage: str) -> dict[str, Any]:
    """Tasks of a later stage depend on what earlier ones find: only what is done is known."""
    folder = storage.join(job.work, "manifests")
    done = (
        len([f for f in storage.list_files(folder, ".json") if re.search(f"/{stage}[-/]", f.path.replace("\\", "/"))])
        if storage.exists(storage.join(job.work, "job.json"))
        else 0
    )
    return {"tasks": None, "done": done}


def _step(step: dict[str, Any]) -> str:
    where = "".join(f"  where {column} in {', '.join(values)}" for column, values in step["where"].items())
    if step["kind"] == "rules":
        rules = [
            signal + (f" >= {low:g}" if low is not None else "") + (f" <= {high:g}" if high is not None else "")
            for signal, low, high in step["options"]["rules"]
        ]
        return f"{step['name']}{where}  {'; '.join(rules)}"
    if step["kind"] == "fitted":
        asked = {key: step["options"][key] for key in ("quantile", "zscore", "by", "sample", "thresholds")}
        told = ", ".join(f"{key}: {value}" for key, value in asked.items() if value is not None)
        return f"{step['name']}{where}  {told}"
    if step["kind"] == "url":
        from pipeline.refining.urls import outline

        return f"{step['name']}{where}  {outline(step['options'])}"
    if step["kind"] == "decontaminate":
        files = [f"{file['name']} ({file['items'] - file['too_short']:,} items)" for file in step["options"]["files"]]
        options = {key: value for key, value in step["options"].items() if key != "files"} | {
            "against": ", ".join(files)
        }
        step = {**step, "options": options}
    options = step["options"].get("options", step["options"]) if step["kind"] == "edit" else step["options"]
    return f"{step['name']}{where}  " + ", ".join(
        f"{key.rstrip('_')}: {value}" for key, value in options.items() if value is not None
    )


def _cut(options: dict[str, Any]) -> str:
    return f"{options['name']}  " + ", ".join(f"{key}: {value}" for key, value in options.items() if key != "name")


def _dedup(job: Job, kind: str) -> str:
    if kind != "minhash":
        return f"keep: {_policy(job)}"
    sketch = job.refine["minhash"]
    spec = sketch["shingle"]
    shingle = " ".join(map(str, kind_of(spec)[::-1]))
    shingle += "".join(
        f", {lang} {' '.join(map(str, kind_of(kind)[::-1]))}" for lang, kind in spec.get("by_lang", {}).items()
    )
    shingle += "".join(f", {name} folded" for name in spec.get("fold", []))
    cut = f"{sketch['queries']} queries" if "queries" in sketch else f"{sketch['bands']} bands of {sketch['rows']} rows"
    return (
        f"{sketch['similarity']} threshold: {job.near['threshold']}, keep: {_policy(job)}, {cut}, shingles of {shingle}"
    )


def _policy(job: Job) -> str:
    """ "newest, then {best: word_count}"."""
    items = job.near["keep"]
    return ", then ".join(
        i if isinstance(i, str) else json.dumps(i, ensure_ascii=False).replace('"', "") for i in items
    )


def outlook_text(found: dict[str, Any]) -> str:
    """The outlook as lines for a terminal."""
    given, output = found["input"], found["output"]
    formats = ", ".join(f"{n} {kind}" for kind, n in found["input"]["formats"].items())
    lines = [f"input   {given['files']} files, {given['bytes'] / 1e6:,.1f} MB as stored ({formats})", "", "steps"]
    lines += [f"  {step}" for step in found["steps"]]
    lines += ["", "stages"]
    for stage, tasks in found["stages"].items():
        count = f"{tasks['tasks']} tasks" if tasks["tasks"] is not None else "tasks known when the stage before is done"
        lines.append(f"  {stage:<8} {count}, {tasks['done']} done")
    if found["recall"]:
        lines += ["", "share of pairs that become candidates (and are then verified), by similarity"]
        lines.append("  " + "  ".join(f"{s:.2f}: {p:.4f}" for s, p in found["recall"]))
    lines += _mixture(found["mix"]) if found["mix"] else []
    shares, *more = split_text(output)
    state = "finished" if output["finished"] else "not finished"
    lines += [
        "",
        f"output  {output['path']} ({output['format']}, shards of {output['shard_size'] / 1e6:,.0f} MB of text, {shares}; {state})",
        *(f"        {line}" for line in more),
    ]
    return "\n".join(lines)


def _mixture(told: dict[str, Any]) -> list[str]:
    lines = ["", f"mix     {told['words']}"]
    if told.get("of_sample"):
        lines.append(f"        estimated from a sample of {told['of_sample']:,} documents:")
    if told["counts"]:
        return [*lines, *(f"        {line}" for line in mix_lines(told["counts"]))]
    return [
        *lines,
        "        what this comes to is known when the documents are compared; --sample 1000 estimates it now",
    ]
