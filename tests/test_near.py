"""Near-duplicates end to end: proven on real version pairs, complete in the split, sound in huge groups."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from corpus import kept, manifest, rejected, sums
from splitting import planted

from dedup.shingles import shingle_set
from dedup.similarity import jaccard
from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.files import storage
from pipeline.files.stage_files import manifests
from pipeline.job import resolve as resolve_job
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import run

DEDUP_ONLY = """
input: {{paths: '{path}'}}
steps:
  - dedup: {{minhash: {{threshold: {threshold}{more}}}}}
output: {{path: '{out}', split: {split}}}
run: {{engine: local, max_source_loss: 1}}
"""


def dedup(records, folder, threshold=0.8, more="", split="{train: 1}"):
    """Runs a recipe that only removes near-duplicates; returns the output folder."""
    path, out = folder / "in.jsonl", folder / "out"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    recipe, source = read(DEDUP_ONLY.format(path=path, out=out, threshold=threshold, more=more, split=split), "r.yaml")
    run(resolve_job(recipe, source), recipe.run, LocalEngine(), Silent())
    return out


@pytest.mark.shared
def test_version_pairs(shared_data, tmp_path, capsys):
    """1,144 pairs of one file in two releases: every removal is proven, and pairs at 0.8 or more are found."""
    pairs = [
        line.split("\t")
        for line in (shared_data / "dedup/version_pairs.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    wanted = {doc for pair in pairs for doc in pair[:2]}
    texts = {}
    for file in sorted((shared_data / "text").glob("multilingual_*.jsonl.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            record = json.loads(line)
            if record["id"] in wanted:
                texts[record["id"]] = record
    out = dedup(texts.values(), tmp_path, split="{train: 0.8, validation: 0.1, test: 0.1}")
    alive = {row["id"] for row in kept(out)}
    for row in rejected(out):
        assert row["duplicate_of"] in alive
        similarity = jaccard(shingle_set(texts[row["id"]]["text"]), shingle_set(texts[row["duplicate_of"]]["text"]))
        assert similarity == row["similarity"] >= 0.8
    similar = [pair for pair in pairs if float(pair[2]) >= 0.8]
    found = [pair for pair in similar if not {pair[0], pair[1]} <= alive]
    with capsys.disabled():
        print(f"\nversion pairs at 0.8 or more: {len(found)} of {len(similar)} have lost a side")
    assert len(found) / len(similar) >= 0.99
    assert all(finding.ok for finding in check(str(out)))


def words(rng, count):
    return [f"w{n}" for n in rng.integers(0, 10**9, count)]


def test_leaks_that_lsh_misses_are_found(tmp_path):
    """With one band of many rows LSH finds hardly a pair; none of them may cross the split all the same."""
    rng = np.random.default_rng(3)
    records = []
    for family in range(120):
        base = words(rng, 200)
        for copy in range(4):
            text = list(base)
            for place in rng.choice(200, 3, replace=False):
                text[place] = f"x{family}_{copy}_{place}"
            records.append({"id": f"{family}-{copy}", "text": " ".join(text)})
    out = dedup(records, tmp_path, more=", bands: 1, rows: 60", split="{train: 0.7, validation: 0.15, test: 0.15}")
    told = manifest(out)
    assert told["splits"]["train"] > 120, "LSH alone must have missed pairs for this test to mean anything"
    assert told["dedup"]["split_probes"] > 0
    findings = check(str(out))
    assert all(finding.ok for finding in findings), findings


def test_check_finds_a_planted_leak(tmp_path):
    """`check` looks at the texts: a copy of a train document in test is found though the run knows nothing of it."""
    rng = np.random.default_rng(4)
    records = [{"id": str(i), "text": " ".join(words(rng, 80))} for i in range(60)]
    out = dedup(records, tmp_path, split="{train: 0.5, test: 0.5}")

    def leak(rows):
        rows["test"][0] = {**rows["train"][0], "id": "leaked"}

    wrong = planted(out, leak)
    assert len(wrong) == 1 and "two sides" in wrong[0].what and "leaked" in wrong[0].wrong[0]


def test_template_pages_stay_linear_and_on_one_side(tmp_path):
    """300 pages of one template, alike in pairs below the threshold: one group, work with representatives, no leak."""
    rng = np.random.default_rng(5)
    frame = words(rng, 100)
    records = [{"id": f"{i:03d}", "text": " ".join(frame + words(rng, 22))} for i in range(300)]
    out = dedup(records, tmp_path, threshold=0.65, split="{train: 0.6, test: 0.4}")
    assert all(finding.ok for finding in check(str(out)))
    close = dedup(
        [{**r, "text": " ".join(r["text"].split()[:104])} for r in records],
        _sub(tmp_path),
        split="{train: 0.6, test: 0.4}",
    )
    assert manifest(close)["account"]["kept"] == 1, "nearly equal pages are one survivor"
    assert manifest(close)["dedup"]["pairs_compared"] < 300 * 299 / 2 + 300 * 64


def _sub(folder):
    (folder / "sub").mkdir()
    return folder / "sub"


@pytest.mark.parametrize(
    ("keep", "survivor"),
    [("longest", "long"), ("newest", "new"), ("{best: upper_ratio}", "upper"), ("{source: [second, first]}", "second")],
)
def test_keep_policies(tmp_path, keep, survivor):
    base = " ".join(words(np.random.default_rng(6), 300)).replace("0", "o")
    records = [
        {"id": "long", "text": base + " and a longer end", "date": "2020-01-01", "source": "first"},
        {"id": "new", "text": base, "date": "2024-05-01", "source": "first"},
        {"id": "upper", "text": base + " ABC", "date": "2019-01-01", "source": "first"},
        {"id": "second", "text": base + " x", "date": None, "source": "second"},
    ]
    out = dedup(records, tmp_path, more=f", keep: {keep}")
    assert [row["id"] for row in kept(out)] == [survivor]
    assert {row["duplicate_of"] for row in rejected(out)} == {survivor}


def test_short_and_empty_documents_do_not_collapse(tmp_path):
    records = [
        {"id": str(i), "text": text} for i, text in enumerate(["yes", "no", "yes no", "好", "坏", "!", "?", "yes"])
    ]
    out = dedup(records, tmp_path)
    assert sorted(row["text"] for row in kept(out)) == sorted(["yes", "no", "yes no", "好", "坏", "!", "?"])


def test_repeated_ids_are_counted_and_told_apart(tmp_path):
    rng = np.random.default_rng(7)
    texts = [" ".join(words(rng, 50)) for _ in range(3)]
    out = dedup([{"id": "same", "text": text} for text in texts], tmp_path)
    assert sorted(row["text"] for row in kept(out)) == sorted(texts)
    assert manifest(out)["dedup"]["repeated_ids"] == 2


def test_ledger_of_duplicates_has_the_true_similarity(tmp_path):
    rng = np.random.default_rng(8)
    base = words(rng, 400)
    near = base[:390] + words(rng, 10)
    out = dedup([{"id": "a", "text": " ".join(base) + " tail"}, {"id": "b", "text": " ".join(near)}], tmp_path)
    (row,) = pq.read_table(out / "rejected" / "part-00000.parquet").to_pylist()
    true = jaccard(shingle_set(" ".join(base) + " tail"), shingle_set(" ".join(near)))
    assert row["similarity"] == true and row["reason"] == "near_duplicate" and row["step"] == "01.dedup.minhash"


def test_sets_are_compared_in_blocks_of_any_size(tmp_path, monkeypatch):
    """Pairs within tasks and across them: all sets at once, some, or those of one pair."""
    monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
    rng = np.random.default_rng(9)
    (tmp_path / "in").mkdir()
    bases = [words(rng, 120) for _ in range(30)]
    for shard in range(4):
        near = [" ".join([*base[: 120 - 5 * shard], *words(rng, 5 * shard)]) for base in bases]
        rows = [{"id": f"{shard}.{row}", "text": text} for row, text in enumerate([*near, *near[:20]])]
        (tmp_path / "in" / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {}
    for name, size in [("all", 1 << 20), ("some", 2000), ("pairs", 1)]:
        monkeypatch.setattr("pipeline.matching.sets.BLOCK_SHINGLES", size)
        out = tmp_path / name
        more = {"path": tmp_path / "in", "threshold": 0.7, "more": "", "split": "{train: 0.5, test: 0.5}"}
        recipe, source = read(DEDUP_ONLY.format(out=out, **more), "r.yaml")
        settings = recipe.run.model_copy(update={"keep_work": True})
        run(resolve_job(recipe, source), settings, LocalEngine(), Silent())
        edges = sorted((out / ".work" / "match").glob("*.edges.arrow"))
        found[name] = [path.read_bytes() for path in edges], sums(out)
    assert found["all"] == found["some"] == found["pairs"]
    assert sum(len(pa.ipc.open_file(path).read_all()) for path in edges) > 100


@pytest.mark.parametrize("similarity", ["jaccard", "containment"])
def test_partitions_change_no_decision(tmp_path, s3_bucket, monkeypatch, similarity):
    """Clusters of near-copies, equal texts, parts of texts, and pages of a template, more than are compared one by one."""
    rng = np.random.default_rng(11)
    frame = words(rng, 150)
    texts = [" ".join([*frame[: 100 + i % 50], *words(rng, 12)]) for i in range(150)]
    for _ in range(40):
        base = words(rng, 200)
        texts += [" ".join([*base[:-k], *words(rng, k)]) for k in (1, 4, 9, 30)] + [" ".join(base), " ".join(base)]
        texts.append(" ".join(base[20:90]))
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"id": str(row), "text": text}) + "\n" for row, text in enumerate(texts)]
    for shard in range(5):
        (tmp_path / "in" / f"{shard}.jsonl").write_text("".join(lines[shard::5]))
    found = {}
    for name, rows, out in [
        ("one", 1 << 30, str(tmp_path / "one")),
        ("many", 256, str(tmp_path / "many")),
        ("remote", 256, f"{s3_bucket}/out"),
    ]:
        monkeypatch.setattr("pipeline.plan.BUNDLE_BYTES", 1)
        monkeypatch.setattr("pipeline.matching.groups.PARTITION_ROWS", ((rows, 1 << 31),))
        more = {"path": tmp_path / "in", "threshold": 0.8, "more": f", similarity: {similarity}", "split": "{train: 1}"}
        recipe, source = read(DEDUP_ONLY.format(out=out, **more), "r.yaml")
        run(resolve_job(recipe, source), recipe.run.model_copy(update={"keep_work": True}), LocalEngine(), Silent())
        files = [file.path for folder in ("train", "rejected") for file in storage.list_files(f"{out}/{folder}")]
        found[name] = {path.removeprefix(out): storage.read_bytes(path) for path in files}
        assert bool(storage.list_files(f"{out}/.work/bucket")) == (name != "one")
        assert sum(task["counts"]["big_groups"] for task in manifests(out, "match")) > 0
    assert found["one"] == found["many"] == found["remote"] and len(found["one"]) == 6
