"""MinHash signatures, and near-duplicates from JSONL to kept JSONL.

Signatures: text -> shingles of five tokens -> 128 minima (16 bands of 8 for gristmill). Near-duplicates: 14 bands of 8;
gristmill verifies every pair by its true similarity, the peers take what shares a band (rensa: and passes an estimate).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import recipes
from registry import ANY_WORD, OURS, Sample, Work, runner

SIGNATURES = "text to MinHash signature"
NEAR = "near-duplicates, file to file"
HASHES = 128
SHINGLE = 5


def shingles(text: str) -> list[str]:
    words = ANY_WORD.findall(text.lower())
    return [" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))]


@runner(SIGNATURES, OURS, {})
def our_signatures(sample: Sample) -> Work:
    from dedup.minhash import Bands, band_hashes, signatures
    from dedup.shingles import shingle_sets

    bands = Bands(HASHES // 8, 8)
    tables = sample.tables()

    def sign(texts: Any) -> Any:
        return band_hashes(signatures(*shingle_sets(texts, SHINGLE), HASHES, 1), bands)

    return lambda: [sign(table["text"]) for table in tables] and None


@runner(SIGNATURES, "rensa", {"en": 4, "zh": 4}, package="rensa")
def rensa_signatures(sample: Sample) -> Work:
    from rensa import RMinHash

    texts = sample.texts

    def sign(text: str) -> Any:
        sketch = RMinHash(num_perm=HASHES, seed=1)
        sketch.update(shingles(text))
        return sketch.digest()

    return lambda: [sign(text) for text in texts] and None


@runner(SIGNATURES, "datasketch", {"en": 4, "zh": 4}, package="datasketch")
def datasketch_signatures(sample: Sample) -> Work:
    from datasketch import MinHash

    texts = sample.texts

    def sign(text: str) -> Any:
        sketch = MinHash(num_perm=HASHES, seed=1)
        sketch.update_batch([shingle.encode() for shingle in set(shingles(text))])
        return sketch.digest()

    return lambda: [sign(text) for text in texts] and None


# -- file to file ----------------------------------------------------------------------------------


@runner(NEAR, OURS, {"en": None})
def our_near(sample: Sample) -> Work:
    def work() -> Any:
        recipes.whole_run(sample.path, sample.scratch, recipes.MINHASH)

    return work


@runner(NEAR, "daft", {"en": None}, package="daft")
def daft(sample: Sample) -> Work:
    plain = _plain_copy(sample)

    def work() -> Any:
        table, kept = daft_near(str(plain))
        _write(sample, table.to_pylist(), kept)

    return work


def daft_near(path: str) -> tuple[Any, Iterator[int]]:
    """(table, rows that stay). Words between white space; bands and clusters as one would do by hand."""
    import daft
    import numpy as np

    frame = daft.read_json(path)
    text = daft.functions.normalize(
        frame["text"], remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True
    )
    hashes = daft.functions.minhash(text, num_hashes=112, ngram_size=SHINGLE, seed=1, hash_function="xxhash")
    table = frame.with_column("minhash", hashes).to_arrow()
    flat = table["minhash"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    keys = np.ascontiguousarray(flat.reshape(len(table), 14, 8).transpose(1, 0, 2)).view("V32")[:, :, 0]
    return table.drop(["minhash"]), _first_of_clusters(keys)


@runner(NEAR, "rensa", {"en": 4}, package="rensa")
def rensa(sample: Sample) -> Work:
    def work() -> Any:
        records = Sample(sample.kind, sample.path, sample.scratch).records
        _write(sample, records, rensa_near(records))

    return work


def rensa_near(records: list[dict[str, Any]]) -> list[int]:
    """Rows that stay."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.8, num_perm=112, num_bands=14)
    sketches, kept = [], []
    for row, record in enumerate(records):
        sketch = RMinHash(num_perm=112, seed=1)
        sketch.update(shingles(record["text"]))
        sketches.append(sketch)
        if not any(sketches[other].jaccard(sketch) >= 0.8 for other in index.query(sketch)):
            index.insert(row, sketch)
            kept.append(row)
    return kept


@runner(NEAR, "text-dedup", {"en": 4}, package="text-dedup")
def text_dedup(sample: Sample) -> Work:
    """Its command `text_dedup.minhash`, in this process. Its clusters are a global of the module: emptied each time."""
    from text_dedup import minhash

    plain = _plain_copy(sample)
    out = sample.scratch / "text-dedup"
    given = f"--path json --data_files {plain} --split train --cache_dir {out}/cache --output {out}/kept --column text"
    tuned = "--num_proc 1 --threshold 0.8 --ngram 5 --min_length 5 --num_perm 112 --b 14 --r 8"

    def work() -> Any:
        minhash.uf = minhash.UnionFind()
        minhash.main([*given.split(), *tuned.split()], standalone_mode=False)
        assert (out / "kept").is_dir(), "text-dedup wrote nothing"

    return work


@runner(NEAR, "Data-Juicer", {"en": 4}, package="py-data-juicer")
def data_juicer(sample: Sample) -> Work:
    """Its deduplicator and the dataset class of its executor, in this process."""
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from datasets import load_dataset

    plain = _plain_copy(sample)
    cache = sample.scratch / "data-juicer"

    def work() -> Any:
        step = DocumentMinhashDeduplicator(
            window_size=SHINGLE, num_permutations=112, jaccard_threshold=0.8, num_bands=14, num_rows_per_band=8
        )
        records = NestedDataset(load_dataset("json", data_files=str(plain), split="train", cache_dir=str(cache)))
        kept, _ = step.process(records.map(step.compute_hash, num_proc=1, load_from_cache_file=False))
        kept.to_json(str(sample.scratch / "kept.jsonl"))

    return work


@runner(NEAR, "datatrove", {"en": 0.8}, package="datatrove")
def datatrove(sample: Sample) -> Work:
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    out = sample.scratch / "datatrove"
    return lambda: datatrove_near(sample.path, out, JsonlWriter(str(out / "kept"), compression="gzip"))


def datatrove_near(path: Path, out: Path, writer: Any) -> None:
    """Its four stages as four executors."""
    from cases_chain import minhash_config
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import dedup
    from datatrove.pipeline.readers import JsonlReader

    signs, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    config = minhash_config()

    def reader() -> Any:
        return JsonlReader(str(path.parent), glob_pattern=path.name)

    stages = [
        (1, [reader(), dedup.MinhashDedupSignature(signs, config=config)]),
        (config.num_buckets, [dedup.MinhashDedupBuckets(signs, buckets, config=config)]),
        (1, [dedup.MinhashDedupCluster(buckets, removed, config=config)]),
        (1, [reader(), dedup.MinhashDedupFilter(removed), writer]),
    ]
    for number, (tasks, steps) in enumerate(stages):
        logs = str(out / "logs" / str(number))
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=logs, skip_completed=False).run()


def _plain_copy(sample: Sample) -> Path:
    """The same records without compression, for peers that do not read .zst."""
    path = sample.scratch / "plain.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in sample.records))
    return path


def _first_of_clusters(bands: Iterable[Any]) -> Iterator[int]:
    """Rows that are the first of their cluster; rows with an equal key in any band are joined."""
    bands = list(bands)
    parent = list(range(len(bands[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for keys in bands:
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys.tolist()):
            a, b = root(first.setdefault(key, row)), root(row)
            parent[max(a, b)] = min(a, b)
    return (row for row in range(len(parent)) if parent[row] == row)


def _write(sample: Sample, records: list[dict[str, Any]], kept: Iterable[int]) -> None:
    import orjson

    with open(sample.scratch / "kept.jsonl", "wb") as file:
        file.writelines(orjson.dumps(records[row]) + b"\n" for row in kept)
