"""The chain: JSONL.zst -> language -> four rule families, C4's line edit -> e-mail and IP -> MinHash -> Parquet.

gristmill: its refine task. datatrove: LocalPipelineExecutor with one task, the same steps with the same thresholds in
the same order; on a file that takes it most of a minute, so that what it does once does not count. Chinese text goes
through rules for Chinese (benchmarks/recipes.py), by gristmill alone. The answers are the ids that are kept before near-duplicates are looked for.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import recipes
from registry import OURS, Sample, Work, runner

CHAIN = "the chain"
WHOLE = "`gristmill run`, from start to published splits"


@runner(CHAIN, OURS, {"en": None, "zh": None})
def ours(sample: Sample) -> Work:
    from pipeline.files.tables import Packed

    def work() -> Any:
        docs = recipes.refine(sample.path, sample.scratch, recipes.CHAINS[sample.kind])
        found = Packed(str(docs))
        return lambda: _decisions(sample, [found.read(batch, ["id"]) for batch in range(found.batches)])

    return work


@runner(CHAIN, "datatrove", {"en": 15}, package="datatrove")
def datatrove(sample: Sample) -> Work:
    import pyarrow.parquet as pq
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import filters
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    same_language_model()
    out = sample.scratch / "datatrove"

    def work() -> Any:
        steps = [
            JsonlReader(str(sample.path.parent), glob_pattern=sample.path.name),
            filters.LanguageFilter(languages=["en"], language_threshold=0.65),
            filters.GopherRepetitionFilter(),
            filters.GopherQualityFilter(),
            filters.C4QualityFilter(filter_no_terminal_punct=False),
            filters.FineWebQualityFilter(),
            PIIFormatter(),
            ParquetWriter(str(out / "docs"), compression="zstd"),
            MinhashDedupSignature(str(out / "signatures"), config=minhash_config()),
        ]
        LocalPipelineExecutor(steps, tasks=1, logging_dir=str(out / "logs"), skip_completed=False).run()
        return lambda: _decisions(
            sample, [pq.read_table(file, columns=["id"]) for file in (out / "docs").glob("*.parquet")]
        )

    return work


def same_language_model() -> None:
    """datatrove would fetch lid.176.bin; it gets the file that gristmill carries, lid.176.ftz."""
    from importlib import resources

    from datatrove.utils import lid

    lid.cached_asset_path_or_download = lambda *_, **__: str(resources.files("filters.models") / "lid.176.ftz")


def minhash_config() -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    return MinhashConfig(num_buckets=recipes.BANDS["bands"], hashes_per_bucket=recipes.BANDS["rows"])


def _decisions(sample: Sample, tables: list[Any]) -> list[bool]:
    kept = {each for table in tables for each in table["id"].to_pylist()}
    return [record["id"] in kept for record in sample.records]


@runner(WHOLE, OURS, {"en": None}, child=True)
def command(sample: Sample) -> Work:
    recipe = recipes.write(sample.path, sample.scratch, recipes.CHAIN, recipes.SPLIT)
    start = "from pipeline.cli import main; main()"

    def work() -> Any:
        subprocess.run([sys.executable, "-c", start, "run", "--quiet", str(recipe)], check=True, capture_output=True)

    return work
