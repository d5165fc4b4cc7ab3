"""Proves a finished corpus from what is written, trusting nothing that the run found.

Every file is read again: bytes, sha256 and rows against manifest.json; the account; every duplicate's kept
partner; and leaks: an exact index over the texts of all splits but the largest is probed with every other text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedup.exact import text_hashes
from dedup.join import HeldoutIndex
from dedup.shingling import document_sets
from filters.length import PART_OF
from filters.step import set_column
from pipeline.chat.tables_out import with_text
from pipeline.commands.check_copies import proofs
from pipeline.commands.check_sides import relations, shared, wrong_times
from pipeline.documents import compared
from pipeline.errors import RunError
from pipeline.files import storage
from pipeline.files.commit import sha256_of
from pipeline.folder import corpus_manifest
from pipeline.ledger import EARLIER
from pipeline.matching.older import layout_of
from pipeline.mixtures.conflicts import FOLDER as CONFLICTS
from pipeline.mixtures.labels import CONFLICT
from pipeline.mixtures.mix import LEFT_OUT
from pipeline.output.writers import read_part
from pipeline.splits.columns import ACROSS
from pipeline.splits.options import Split, options
from pipeline.tasks import job_path
from pipeline.tokenized import DOCUMENTS, FORMATS
from pipeline.tokenized.indexes import documents as decoded_documents

HELDOUT_DOCS = 100_000
"""Documents of the small splits indexed at once; more of them means more passes over the rest, not more memory."""


@dataclass
class Finding:
    """One thing that was looked at: what, whether it holds, and the first cases where it does not."""

    what: str
    wrong: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.wrong


@dataclass
class _Corpus:
    output: str
    manifest: dict[str, Any]
    ids: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    kept: Counter[str] = field(default_factory=Counter)

    def parts(self, split: str) -> Iterator[pa.Table]:
        """The texts of one split, table by table."""
        if self.manifest.get("tokens", {}).get("format") in FORMATS:
            publish = json.loads(storage.read_bytes(job_path(self.output)))["job"]["publish"]
            yield from decoded_documents(self.output, self.manifest, publish, split)
            return
        for entry in self.manifest["files"]:
            if entry["path"].startswith(f"{split}/"):
                with storage.local_copy(storage.join(self.output, entry["path"])) as path:
                    for table in read_part(path, entry["path"].split(".", 1)[1]):
                        yield with_text(table, layout_of(self.manifest))


def check(output: str) -> list[Finding]:
    """All findings. Errors: RunError if the folder holds no finished corpus."""
    manifest = corpus_manifest(output)
    if manifest is None:
        raise RunError(
            f"There is no manifest.json in {output}: no run has finished there. 'gristmill run' makes it, or goes on."
        )
    corpus = _Corpus(output, manifest)
    files = _files(corpus)
    if not files.ok:
        return [files]
    more = [Finding(*found) for found in proofs(output, manifest, corpus.parts)]
    return [files, _strays(corpus), _account(corpus), _partners(corpus), *more, _leaks(corpus), *_sides(corpus)]


def _files(corpus: _Corpus) -> Finding:
    finding = Finding("every file has the bytes and the sha256 of the manifest")
    for entry in corpus.manifest["files"]:
        path = storage.join(corpus.output, entry["path"])
        if not storage.exists(path):
            finding.wrong.append(f"{entry['path']} is missing")
            continue
        with storage.local_copy(path) as local:
            if sha256_of(local) != entry["sha256"]:
                finding.wrong.append(f"{entry['path']} has other bytes than were published")
    return finding


def _strays(corpus: _Corpus) -> Finding:
    finding = Finding("no file lies among them that the manifest does not name")
    named = {entry["path"] for entry in corpus.manifest["files"]}
    for folder in (*corpus.manifest["splits"], "rejected", "removed", "quarantine", DOCUMENTS, CONFLICTS):
        base = storage.join(corpus.output, folder)
        for file in storage.list_files(base):
            name = f"{folder}/{file.path[len(base) :].lstrip('/')}"
            if name not in named:
                finding.wrong.append(f"{name} is not in the manifest")
    return finding


def _account(corpus: _Corpus) -> Finding:
    finding = Finding("read = kept + rejected + quarantined, counted from the files")
    manifest, account = corpus.manifest, corpus.manifest["account"]
    for split, rows in manifest["splits"].items():
        for table in corpus.parts(split):
            corpus.kept[split] += len(table)
            corpus.ids.update(table["id"].to_pylist())
        _compare(finding, f"documents in {split}", corpus.kept[split], rows)
    rejected = quarantined = 0
    for entry in manifest["files"]:
        with storage.local_copy(storage.join(corpus.output, entry["path"])) as path:
            if entry["path"].startswith("rejected/"):
                rejected += pq.ParquetFile(path).metadata.num_rows
                corpus.late.update(_late(path))
            elif entry["path"].startswith("quarantine/"):
                with open(path, "rb") as lines:
                    quarantined += sum(1 for line in lines if json.loads(line))
    kept = sum(corpus.kept.values()) - manifest.get("copies", 0) - manifest.get("augment", {}).get("rows", 0)
    _compare(finding, "kept documents", kept, account["kept"])
    _compare(finding, "rejected documents", rejected, account["rejected"])
    _compare(finding, "quarantined records", quarantined, account["quarantined"])
    _compare(finding, "kept + rejected + quarantined", kept + rejected + quarantined, account["read"])
    return finding


def _late(path: str) -> list[str]:
    """Documents that others may have been removed for, and that went after that: at the split, out of the mixture, or for their label."""
    late = [("reason", "in", [ACROSS, LEFT_OUT, CONFLICT])]
    return pq.read_table(path, columns=["id"], filters=late, use_threads=False)["id"].to_pylist()


def _compare(finding: Finding, what: str, found: int, told: int) -> None:
    if found != told:
        finding.wrong.append(f"{what}: {found} in the files, {told} in the manifest")


def _partners(corpus: _Corpus) -> Finding:
    threshold = corpus.manifest["dedup"]["threshold"]
    finding = Finding("every removed duplicate names a kept document at or above the threshold")
    for entry in corpus.manifest["files"]:
        if not entry["path"].startswith("rejected/"):
            continue
        with storage.local_copy(storage.join(corpus.output, entry["path"])) as path:
            table = pq.read_table(
                path, columns=["id", "duplicate_of", "similarity", "reason", "detail"], use_threads=False
            )
        for row in table.filter(pa.compute.is_valid(table["duplicate_of"])).to_pylist():
            earlier = (row["detail"] or "").startswith(EARLIER)
            if row["duplicate_of"] not in corpus.ids and row["duplicate_of"] not in corpus.late and not earlier:
                finding.wrong.append(f"{row['id']} is said to duplicate {row['duplicate_of']}, which is not kept")
            elif row["similarity"] is None and row["reason"] != "near_duplicate":
                continue  # equal by a key: the texts need not be alike
            elif (row["similarity"] or 0.0) < (threshold or 1.0):
                finding.wrong.append(
                    f"{row['id']} was removed at similarity {row['similarity'] or 0.0:.4f}, below {threshold}"
                )
    return finding


def _leaks(corpus: _Corpus) -> Finding:
    threshold = corpus.manifest["dedup"]["threshold"]
    splits = corpus.manifest["splits"]
    if len(splits) < 2:
        return Finding("no leak between splits (there is one split)")
    if threshold is None:
        return _equal_texts(corpus)
    finding = Finding(f"no pair of documents with a similarity of {threshold} or more stands on two sides of a split")
    largest = max(splits, key=lambda name: corpus.kept[name])
    small = [name for name in splits if name != largest]
    spec, measure = corpus.manifest["dedup"]["shingle"], corpus.manifest["dedup"]["similarity"]
    for sides, ids, documents in _heldout(corpus, small, spec):
        index = HeldoutIndex(*document_sets(documents["text"], documents["lang"], spec), threshold, measure)
        for other in splits:
            for table in corpus.parts(other):
                left, right, similarity = index.probe(*document_sets(compared(table, spec), table["lang"], spec))
                for a, b, s in zip(left.tolist(), right.tolist(), similarity.tolist()):
                    if sides[a] != other:
                        finding.wrong.append(
                            f"{ids[a]} in {sides[a]} and {table['id'][b].as_py()} in {other}: similarity {s:.4f}"
                        )
    return finding


PLAIN = {
    "source and id": "record (source and id), nor a copy of it,",
    "url": "page",
    PART_OF: "text that was split into parts",
}


def _sides(corpus: _Corpus) -> list[Finding]:
    """What the split holds together, and the times of its sides."""
    splits = list(corpus.manifest["splits"])
    if len(splits) < 2:
        return []
    more = options(Split.model_validate(corpus.manifest["recipe"]["output"]["split"]))["split"]
    steps = corpus.manifest["recipe"].get("steps", [])
    looked_for = relations(more, any(_splits_texts(step) for step in steps))
    found = [
        Finding(f"no {PLAIN.get(relation.name, relation.name)} stands on two sides of the split", wrong)
        for relation, wrong in zip(looked_for, shared(corpus.manifest["splits"], corpus.parts, looked_for))
    ]
    if more["times"] and more["spanning"] == "drop":
        found.append(Finding("every document is of the time of its side", wrong_times(splits, corpus.parts, more)))
    return found


def _splits_texts(step: Any) -> bool:
    options = step.get("length") if isinstance(step, dict) else None
    return isinstance(options, dict) and options.get("too_long") == "split"


def _heldout(
    corpus: _Corpus, splits: list[str], spec: dict[str, Any]
) -> Iterator[tuple[list[str], list[str], pa.Table]]:
    """(split, id, compared text and language) of the documents of `splits`, HELDOUT_DOCS at a time."""
    sides: list[str] = []
    tables: list[pa.Table] = []
    for split in splits:
        for table in corpus.parts(split):
            sides += [split] * len(table)
            tables.append(set_column(table, "text", compared(table, spec)).select(["id", "text", "lang"]))
            if len(sides) >= HELDOUT_DOCS:
                yield _together(sides, tables)
                sides, tables = [], []
    if sides:
        yield _together(sides, tables)


def _together(sides: list[str], tables: list[pa.Table]) -> tuple[list[str], list[str], pa.Table]:
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string()), ("lang", pa.string())])
    whole = pa.concat_tables([table.cast(schema) for table in tables])
    return sides, whole["id"].to_pylist(), whole


def _equal_texts(corpus: _Corpus) -> Finding:
    """Without near-dedup there is no threshold; equal texts stay on one side all the same."""
    finding = Finding(
        "no equal text stands on two sides of a split (the recipe has no minhash step, so nothing is known of near-duplicates)"
    )
    seen: dict[bytes, str] = {}
    for split in corpus.manifest["splits"]:
        for table in corpus.parts(split):
            hashes = np.ascontiguousarray(text_hashes(table["text"]))
            for row, name in zip(hashes, table["id"].to_pylist()):
                if seen.setdefault(row.tobytes(), split) != split:
                    finding.wrong.append(f"the text of {name} in {split} stands in {seen[row.tobytes()]} too")
    return finding
