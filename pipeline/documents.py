"""Documents between stages: three files, written by every stage that makes or changes text.

    000003.docs.arrow         the columns of a kept record and _shard, _record, packed
    000003.features.arrow     one row a document: key, text hash, size, hashes to meet others by, end of its shingles
    000003.shingles.u64       the shingle sets, one after another (sorted uint64)

Later stages know documents by number (task << 32 | row) and read features and shingles; text is read again only
where it is written out. The files are the same whatever the batch size (see `pipeline.files.tables`). Where a stage that cuts
texts follows, there is only the first file, with the signals that the keep policy asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.columns import Column, char_counts, row_blocks
from dedup.containment import sample
from dedup.exact import record_keys, text_hashes
from dedup.keys import column_values, key_hashes
from dedup.minhash import Bands, band_hashes, signatures
from dedup.shingling import document_sets
from dedup.turns import compared_texts
from filters.step import set_column
from filters.tokens import NAME as TOKEN_COUNT
from pipeline import ledger
from pipeline.files.commit import Attempt, Output
from pipeline.files.stage_files import manifests
from pipeline.files.tables import SteadyWriter, conform
from pipeline.job import Job
from pipeline.recipes.row_step import RowStep, measures
from pipeline.splits.columns import split_fields, with_split

_PIECE_BYTES = 1 << 20  # of texts; their sets are as large as they are


def text_stages(job: Job) -> list[str]:
    """The stages that write documents, in order: refine, and one for each dedup step that cuts texts."""
    return ["refine", *(f"{kind}-cut" for kind in job.refine["cuts"])]


def documents(job: Job, before: str | None = None) -> list[dict[str, Any]]:
    """Manifests of the stage whose documents dedup and publish work on, in task order; or of the one that the cut
    `before` works on."""
    stages = text_stages(job)
    return manifests(job.output, stages[stages.index(f"{before}-cut") - 1] if before else stages[-1])


def measured(refine: dict[str, Any]) -> set[str]:
    """Names of the signals that the recipe's rules and classifiers measure."""
    return {name for step in refine["steps"] for name in measures(RowStep(**step))}


def features_schema(refine: dict[str, Any]) -> pa.Schema:
    """Columns of the features file; one row a kept document, in the order of the docs file."""
    fields: list[tuple[str, pa.DataType]] = [("id", pa.string()), ("source", pa.string()), ("date", pa.string())]
    fields += [(name, pa.uint64()) for name in ("key0", "key1", "text0", "text1")]
    fields += [("chars", pa.int64()), ("bytes", pa.int64())]
    fields += [(f"signal.{name}", pa.float64()) for name in refine["criteria"]]
    fields += [(f"carried.{name}", pa.string()) for name in refine["carried"]]
    fields += [("tokens", pa.int64())] if refine["mix_tokens"] else []
    fields += [(f"by{n}.{half}", pa.uint64()) for n in range(1, len(refine["keys"]) + 1) for half in (0, 1)]
    fields += split_fields(refine["split"])
    if refine["minhash"]:
        fields += [("shingle_end", pa.int64()), ("bands", pa.list_(pa.uint64()))]
    return pa.schema(fields)


def docs_schema(refine: dict[str, Any], last: bool = True) -> pa.Schema:
    """Columns of the docs file; `last` unless texts are cut later."""
    schema = (
        ledger.kept_schema(refine["signals"], refine["chat"], bool(refine["labels"]), refine["parts"])
        .append(pa.field("_shard", pa.string()))
        .append(pa.field("_record", pa.int64()))
    )
    for name in [] if last else refine["criteria"]:
        if name in measured(refine):
            schema = schema.append(pa.field(f"signal.{name}", pa.float64()))
    return schema


@dataclass
class DocumentFiles:
    """Writer of the three files of one task, batch by batch. `part` is the refine part of a job; without `texts` there
    are no docs, without `features` nothing else, with `heldout` features carry that column."""

    part: dict[str, Any]
    attempt: Attempt
    prefix: str
    texts: bool = True
    heldout: bool = False
    features: bool = True
    shingles: int = 0
    open: dict[str, tuple[Output, SteadyWriter]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.texts:
            self._add("docs", "docs.arrow", docs_schema(self.part, self.features), "packed", "text")
        self._schema = features_schema(self.part)
        if self.heldout:
            self._schema = self._schema.append(pa.field("heldout", pa.bool_()))
        self._sketches = self.features and self.part["minhash"]
        if not self.features:
            return
        self._add("features", "features.arrow", self._schema, "arrow", None)
        if self.part["minhash"]:
            self._shingles = self.attempt.create("shingles", f"{self.prefix}.shingles.u64")
            self._shingles_file = open(self._shingles.temp, "wb")  # noqa: SIM115 (closed in close())

    def _add(self, name: str, suffix: str, schema: pa.Schema, kind: str, weigh: str | None) -> None:
        output = self.attempt.create(name, f"{self.prefix}.{suffix}")
        self.open[name] = (output, SteadyWriter(output.temp, schema, kind, weigh, lasting=False))

    def write(self, table: pa.Table) -> None:
        """Appends documents (with _shard and _record) and their features."""
        features = self._features(table) if self.features else None
        if self.texts:
            self.open["docs"][1].write(with_signals(table, self.part["signals"]))
        if features is not None:
            self.open["features"][1].write(features)

    def _features(self, table: pa.Table) -> pa.Table:
        keys = record_keys(table["source"], table["id"])
        sketch = self.part["minhash"]  # what near-dedup compares is what is equal, too
        looked_at = compared(table, sketch["shingle"]) if sketch else table["text"]
        texts = text_hashes(looked_at)
        table = table.select([c for c in table.schema.names if c != "bytes"])
        for name, values in (
            ("key0", keys[:, 0]),
            ("key1", keys[:, 1]),
            ("text0", texts[:, 0]),
            ("text1", texts[:, 1]),
        ):
            table = set_column(table, name, pa.array(values, pa.uint64()))
        table = set_column(table, "chars", pa.array(char_counts(table["text"]), pa.int64()))
        table = set_column(table, "bytes", pc.cast(pc.binary_length(table["text"]), pa.int64()))
        for number, key in enumerate(self.part["keys"], 1):
            hashes, has = key_hashes(table, key["by"], key["normalize"])
            for half in (0, 1):
                table = set_column(table, f"by{number}.{half}", pa.array(hashes[:, half], pa.uint64(), mask=~has))
        table = with_split(table, self.part["split"])
        for name in self.part["carried"]:
            table = set_column(table, f"carried.{name}", pa.array(column_values(table, name), pa.string()))
        if self.part["mix_tokens"]:
            table = set_column(table, "tokens", self._tokens(table))
        if self.part["minhash"]:
            table = self._sketched(table, looked_at)
        return conform(table, self._schema)

    def _tokens(self, table: pa.Table) -> pa.Array:
        """Tokens of each text as it is written. A rule may have counted them before a later edit; a recorded signal has not."""
        recorded = f"signal.{TOKEN_COUNT}"
        if recorded in table.schema.names and TOKEN_COUNT not in measured(self.part):
            return pc.cast(table[recorded], pa.int64()).combine_chunks()
        from filters.tokenizer_files import opened

        return pa.array(opened(self.part["tokenizer"]).count(pc.fill_null(table["text"], "").to_pylist()), pa.int64())

    def _sketched(self, table: pa.Table, texts: Column) -> pa.Table:
        sketch = self.part["minhash"]
        ends, rows, hashes = [], [], []
        for low, high in _pieces(texts):
            langs = table["lang"].slice(low, high - low)
            offsets, values = document_sets(texts.slice(low, high - low), langs, sketch["shingle"])
            self._shingles_file.write(np.ascontiguousarray(values, "<u8").data)
            ends.append(self.shingles + offsets[1:])
            self.shingles += len(values)
            starts, found = sketched(offsets, values, sketch)
            rows.append(np.diff(starts))
            hashes.append(found)
        table = set_column(table, "shingle_end", pa.array(np.concatenate(ends), pa.int64()))
        starts = np.concatenate([[0], *rows]).cumsum()
        lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(np.concatenate(hashes), pa.uint64()))
        return set_column(table, "bands", lists)

    def close(self) -> None:
        for output, writer in self.open.values():
            writer.close()
            output.rows = writer.rows
        if self._sketches:
            self._shingles_file.close()
            self._shingles.rows = self.shingles


def _pieces(texts: Column) -> list[tuple[int, int]]:
    """Ranges of rows whose sets are made together: few enough to be in the cache still when they are hashed and written."""
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy()
    return list(row_blocks(np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), _PIECE_BYTES))


def compared(table: pa.Table, shingle: dict[str, Any]) -> Column:
    """The texts that near-dedup compares, as the spec of its shingles says."""
    return compared_texts(table, shingle.get("by", "text"))


def sketched(offsets: np.ndarray, values: np.ndarray, sketch: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes by which documents meet, as rows (offsets int64, hashes uint64): bands of minima, or a sample."""
    if sketch["similarity"] == "containment":
        return sample(offsets, values, sketch["queries"])
    bands = Bands(sketch["bands"], sketch["rows"])
    hashes = band_hashes(signatures(offsets, values, bands.hashes, sketch["seed"]), bands)
    return np.arange(len(offsets)) * bands.bands, hashes.reshape(-1)


def with_signals(table: pa.Table, names: list[str]) -> pa.Table:
    """`table` with a struct column `signals` made of its columns `signal.NAME`."""
    if not names:
        return table
    columns = [
        table[f"signal.{n}"].combine_chunks()
        if f"signal.{n}" in table.schema.names
        else pa.nulls(len(table), pa.float64())
        for n in names
    ]
    arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    return set_column(table, "signals", pa.StructArray.from_arrays(arrays, fields=list(ledger.signal_type(names))))
