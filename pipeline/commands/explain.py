"""The life of one document: each step, each value against its threshold, what it duplicates, where it ended.

The end is read from the corpus; the life is lived again: the record is found in its input file and taken through
the row steps once more, with every value told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import filters
from filters.texts import texts_of
from pipeline.commands.explain_cuts import cut_words
from pipeline.errors import GristmillError, RunError
from pipeline.files import storage
from pipeline.folder import corpus_manifest
from pipeline.job import Job
from pipeline.output.writers import read_part
from pipeline.refining import values
from pipeline.refining.refine import batches
from pipeline.refining.row_steps import build_steps, guarded
from pipeline.tasks import job_path
from pipeline.tokenized import DOCUMENTS


def explain(output: str, doc_id: str) -> str:
    """The report, as text. Errors: RunError if nothing is known of the folder or the document."""
    manifest = corpus_manifest(output)
    if manifest is None or not storage.exists(job_path(output)):
        raise RunError(f"There is no finished corpus in {output} (no manifest.json). Run the recipe first.")
    job = Job(**json.loads(storage.read_bytes(job_path(output)))["job"])
    ends = [*_rejected(output, manifest, doc_id), *_lives(_kept(output, manifest, doc_id))]
    if not ends:
        raise RunError(
            f"No document '{doc_id}' was kept or rejected in {output}. Ids are compared whole; quarantine/ holds what could not be read."
        )
    return "\n\n".join(_life(job, manifest, doc_id, end) for end in ends)


def _rejected(output: str, manifest: dict[str, Any], doc_id: str) -> Iterator[dict[str, Any]]:
    for entry in manifest["files"]:
        if entry["path"].startswith("rejected/"):
            with storage.local_copy(storage.join(output, entry["path"])) as path:
                yield from pq.read_table(path, filters=[("id", "=", doc_id)]).to_pylist()


def _kept(output: str, manifest: dict[str, Any], doc_id: str) -> Iterator[dict[str, Any]]:
    tokenized = "format" in manifest.get("tokens", {})
    for entry in manifest["files"]:
        # what is known of a document stands beside its tokens, in a folder of its own
        head, _, rest = entry["path"].partition("/")
        folder = rest.split("/")[0] if head == DOCUMENTS else head
        if folder not in manifest["splits"] or tokenized != (head == DOCUMENTS):
            continue
        with storage.local_copy(storage.join(output, entry["path"])) as path:
            for table in read_part(path, entry["path"].split(".", 1)[1]):
                for row in table.filter(pc.equal(table["id"], doc_id)).to_pylist():
                    yield {**row, "kept_in": entry["path"]}


def _lives(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that a mixture wrote several times made one, with `again`: where the others stand."""
    lives: list[dict[str, Any]] = []
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row.get("epoch") or 0):
        key = row["source"], row.get("text")
        if row.get("epoch") and key in first:
            first[key]["again"].append(row["kept_in"])
        else:
            lives.append({**row, "again": []})
            first.setdefault(key, lives[-1])
    return lives


def _life(job: Job, manifest: dict[str, Any], doc_id: str, end: dict[str, Any]) -> str:
    found = _record(job, _names(end.get("augmented_from") or doc_id), end)
    if found is None:
        lines = [f"{doc_id}", "  (the record is not in the input files any more: only its end is known)"]
    else:
        shard, table = found
        record = table["_record"][0].as_py()
        lines = [f"{doc_id}", f"  read     record {record} of {shard}{_named(table)}"]
        told, table, passed = _steps(job, manifest, table, doc_id)
        lines += told
        if passed:
            lines += cut_words(job, manifest, table)
    return "\n".join([*lines, *_end(end)])


def _named(table: pa.Table) -> str:
    known = [(name, table[name][0].as_py()) for name in ("source", "url", "date")]
    return "".join(f"\n           {name}: {value}" for name, value in known if value)


def _names(doc_id: str) -> list[str]:
    """Ids under which a document may have been read: its own, and those of what it is a part of (a#1#2, a#1, a)."""
    ends = [at for at, letter in enumerate(doc_id) if letter == "#" and at]
    return [doc_id, *(doc_id[:at] for at in reversed(ends))]


def _record(job: Job, names: list[str], end: dict[str, Any]) -> tuple[str, pa.Table] | None:
    """The document as it was read: (shard, one-row table); of several, that of the first of the names."""
    best, found = len(names), None
    for shard in [s for s in job.shards if end.get("shard") in (None, s["name"])]:
        try:
            for table, _, _ in batches(job, shard):
                ranks = pc.index_in(table["id"], pa.array(names, table["id"].type))
                if end.get("record") is not None:
                    ranks = pc.if_else(pc.equal(table["_record"], end["record"]), ranks, None)
                rank = pc.min(ranks).as_py()
                if rank is not None and rank < best:
                    policy = job.refine["inputs"][shard["input"]]["values"]
                    row = values.apply(policy, table.filter(pc.equal(ranks, rank)).slice(0, 1))[0]
                    best, found = rank, (shard["name"], row)
                if best == 0:
                    return found
        except GristmillError:
            continue  # the input moved or broke since the run; other shards may still hold the document
    return found


def _steps(job: Job, manifest: dict[str, Any], table: pa.Table, doc_id: str) -> tuple[list[str], pa.Table, bool]:
    """One line a step, one line a rule, until the step that the document did not pass; the document then, and whether it passed all."""
    described = {step["name"]: step for step in job.refine["steps"]}
    lines = []
    for named in build_steps(job, manifest.get("thresholds", {})):
        step = described.get(named.name, {"where": {}, "options": {}})
        if not all(table[column][0].as_py() in values for column, values in step["where"].items()):
            lines.append(f"  {named.name:<28} not asked: {_not_where(step['where'], table)}")
            continue
        before = table["text"][0].as_py()
        measured = [] if step.get("on") else _rules(step["options"].get("rules", []), table)
        table, why = guarded(named.step, table)
        if len(table) > 1:  # the document is a part of the one that was read
            table, why = _part(table, why, doc_id)
        reason = why[0].as_py()
        found = (
            f" ({table['lang'][0].as_py()} {table['lang_score'][0].as_py():.3f})"
            if step.get("kind") == "language"
            else ""
        )
        lines.append(f"  {named.name:<28} {_verdict(reason, before, table)}{found}")
        lines += measured
        if reason is not None:
            return lines, table, False
    return lines, table, True


def _part(table: pa.Table, why: pa.StructArray, doc_id: str) -> tuple[pa.Table, pa.StructArray]:
    """The row of a split document that is asked for, or leads to it where a part is split again."""
    ids = table["id"].to_pylist()
    row = next((at for at, name in enumerate(ids) if doc_id == name or doc_id.startswith(f"{name}#")), 0)
    return table.slice(row, 1), why.slice(row, 1)


def _not_where(where: dict[str, list[str]], table: pa.Table) -> str:
    return ", ".join(
        f"{column} is {table[column][0].as_py()}, not {' or '.join(values)}" for column, values in where.items()
    )


def _rules(rules: list[list[Any]], table: pa.Table) -> list[str]:
    texts = texts_of(table)
    lines = []
    for signal, low, high in rules:
        value = float(filters.SIGNALS[signal].function(texts)[0])
        bounds = " and ".join(
            [*([f"min {low:g}"] if low is not None else []), *([f"max {high:g}"] if high is not None else [])]
        )
        passed = (low is None or value >= low) and (high is None or value <= high)
        lines.append(f"      {signal:<28} {value:<10.5g} {bounds:<24} {'ok' if passed else 'FAILS'}")
    return lines


def _verdict(reason: dict[str, Any] | None, before: str | None, table: pa.Table) -> str:
    if reason is not None:
        value = "" if reason["value"] is None else f", value {reason['value']:.5g}"
        bound = "" if reason["threshold"] is None else f", threshold {reason['threshold']:g}"
        return f"out: {reason['reason']}{value}{bound}{', ' + reason['detail'] if reason['detail'] else ''}"
    after = table["text"][0].as_py()
    if before != after:
        return (
            f"text of {len(after or ''):,} characters"
            if before is None
            else f"text changed ({len(before):,} -> {len(after or ''):,} characters)"
        )
    return "passed"


def _end(end: dict[str, Any]) -> list[str]:
    if "kept_in" in end:
        noise = f"; {end['augmented_from']} with noise" if end.get("augmented_from") else ""
        again = f", {len(end['again']) + 1} times: {', '.join(end['again'])}" if end["again"] else ""
        return [f"  kept     in {end['kept_in']}{again}{noise}"]
    lines = [f"  rejected at {end['step']}: {end['reason']}"]
    if end["duplicate_of"]:
        alike = "" if end["similarity"] is None else f"; similarity {end['similarity']:.4f}"
        lines.append(f"  duplicate of {end['duplicate_of']}{alike}")
        lines += [f"  {end['detail']}"] if end.get("detail") else []
    return lines
