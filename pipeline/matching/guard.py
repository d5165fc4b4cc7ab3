"""The guard: a run stops before anything is published when one source would lose most of its documents to dedup.

Whole sources have been lost to templates and boilerplate that looked alike. The driver asks here after the last round of
assign; the letter shows what the documents were removed for, and the same command with --accept-loss goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import RunError
from pipeline.files.stage_files import Files, manifests, opened
from pipeline.files.tables import Packed
from pipeline.job import Job
from pipeline.matching.groups import groups, owners, rows_of
from pipeline.matching.older import STAGE, compared

LEAST = 20
"""Documents a source has at least to be guarded: two of three say nothing."""

SHOWN = 5


def source_losses(job: Job, final_round: int) -> dict[str, tuple[int, int]]:
    """Source -> (documents that came to dedup, documents removed)."""
    total: dict[str, tuple[int, int]] = {}
    for manifest in manifests(job.output, f"assign-{final_round}"):
        for name, (docs, gone) in manifest["counts"]["sources"].items():
            before = total.get(name, (0, 0))
            total[name] = (before[0] + docs, before[1] + gone)
    return dict(sorted(total.items()))


def guard(job: Job, final_round: int, most: float) -> None:
    """Errors: RunError if a source would lose more than the share `most` of its documents."""
    losses = source_losses(job, final_round)
    worst = [(gone / docs, name) for name, (docs, gone) in losses.items() if docs >= LEAST and gone / docs > most]
    if not worst:
        return
    lines = []
    for share, name in sorted(worst, reverse=True)[:SHOWN]:
        docs, gone = losses[name]
        lines.append(
            f"source '{name}' would lose {gone:,} of its {docs:,} documents ({share:.0%}) to dedup; its largest clusters:"
        )
        lines += [f"  {line}" for line in _clusters(job, final_round, name)]
    more = f"\n... and {len(worst) - SHOWN} more sources" if len(worst) > SHOWN else ""
    told = "\n".join(lines)
    raise RunError(
        f"Dedup removes more of a source than run.max_source_loss ({most:.0%}) allows:\n{told}{more}\n"
        "Nothing is published yet. If these are duplicates indeed, the same command with --accept-loss goes on from here; "
        "if it is a template or boilerplate that makes them alike, cut it first (extract, boilerplate_lines, dedup: {lines: {}})."
    )


def _clusters(job: Job, final_round: int, source: str) -> list[str]:
    """A line on each of the clusters that took most of a source's documents."""
    found: dict[int, list[float]] = {}
    members = groups(compared(job))
    with opened(job.output) as files:
        resolved = manifests(job.output, f"resolve-{final_round}")[0]
        for number, group in enumerate(members):
            if group[0]["stage"] != STAGE:
                _collect(files, resolved, number, group, source, found)
        largest = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:SHOWN]
        return [
            f"{len(similarities):,} removed, {_alike(similarities)}, like {_told(job, files, doc)}"
            for doc, similarities in largest
        ]


def _alike(similarities: list[float]) -> str:
    known = [similarity for similarity in similarities if not np.isnan(similarity)]
    told = f"similarity {min(known):.2f} to {max(known):.2f}" if known else ""
    by_key = len(similarities) - len(known)  # a URL or column in common says nothing of the texts
    return ", ".join(part for part in (told, f"{by_key:,} by a key" if by_key else "") if part)


def _collect(
    files: Files, resolved: dict[str, Any], number: int, group: list[dict[str, Any]], source: str,
    found: dict[int, list[float]],
) -> None:  # fmt: skip
    """Adds the similarities of the source's removed documents in one group, by their cluster's best document."""
    decided = files.table(resolved, f"decisions-{number}")
    docs = decided["doc"].to_numpy()
    removed = ~decided["kept"].to_numpy(zero_copy_only=False)
    theirs = np.zeros(len(docs), bool)
    for manifest in group:
        mine = np.flatnonzero(owners(docs) == manifest["index"])
        names = files.table(manifest, "features")["source"].to_numpy(zero_copy_only=False)
        theirs[mine] = names[rows_of(docs[mine])] == source
    rows = np.flatnonzero(theirs & removed)
    for cluster, similarity in zip(
        decided["cluster"].to_numpy()[rows].tolist(), decided["similarity"].to_numpy()[rows].tolist()
    ):
        found.setdefault(cluster, []).append(similarity)


def _told(job: Job, files: Files, doc: int) -> str:
    """A document by id and its first line."""
    manifest = next(m for m in compared(job) if m["index"] == doc >> 32)
    row = doc & 0xFFFFFFFF
    name = files.table(manifest, "features")["id"][row].as_py()
    if manifest["stage"] == STAGE:
        return f"{name} (of an earlier corpus)"
    docs = Packed(files.local(manifest, "docs"))
    for number in range(docs.batches):
        rows = len(docs.read(number, ["_record"]))
        if row < rows:
            text = docs.read(number, ["text"])["text"][row].as_py() or ""
            first = text.strip().split("\n", 1)[0]
            return f'{name}: "{first[:90]}{"..." if len(first) > 90 else ""}"'
        row -= rows
    raise AssertionError(f"document {doc} is not in its file")
