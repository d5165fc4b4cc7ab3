"""The end of a run: the account of all stages proven, and the papers of the corpus written; manifest.json last."""

from __future__ import annotations

from typing import Any

from pipeline import ledger
from pipeline.cutting import decontaminated
from pipeline.cutting.files import summary as cut_summary
from pipeline.files import storage
from pipeline.files.stage_files import manifests
from pipeline.job import Job
from pipeline.matching.guard import source_losses
from pipeline.matching.older import write_index_manifest
from pipeline.mixtures.augmented import augment_summary
from pipeline.mixtures.conflicts import stage_of as conflict_stage
from pipeline.mixtures.labels import labels_summary
from pipeline.mixtures.mixing import mix_summary
from pipeline.output.card import write_card, write_manifest, write_snippets
from pipeline.output.report import write_report
from pipeline.output.told import told
from pipeline.plan import final_splits
from pipeline.splits.report import split_summary


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
