"""Near-duplicates of a large file, whole processes: JSONL.gz in, deduplicated Parquet out, gristmill and peers in turn.

    python benchmarks/near_files.py texts.jsonl.gz [--peers daft rensa datatrove] [--rounds 3] [--core 1]

The file has `id` and `text`; 150 MB of text or more, for each process also starts (0.7 s of gristmill). What is measured is CPU
time of the process and its children, pinned to one core, from start to end. All: 14 bands of 8, shingles of 5; Parquet by zstd
3, in the order of the input. gristmill cuts each Han character, verifies every pair and accounts for every document; see `cases_dedup` for the peers.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

PEERS = ("daft", "rensa", "datatrove")
RECIPE = """
input: {{paths: "{path}"}}
steps:
  - dedup: {{minhash: {{threshold: 0.8, bands: 14, rows: 8}}}}
output: {{path: "{out}", format: parquet, shuffle: false}}
run: {{engine: local, max_source_loss: 1.0}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--peers", nargs="*", default=["daft", "rensa"], choices=PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1)
    parser.add_argument("--child", choices=("gristmill", *PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        RUN[given.child](given.file, given.out)
        return
    size = _text_bytes(given.file) / 1e6
    names = ["gristmill", *given.peers]
    one(given, "gristmill")  # compiles, if need be
    spent: dict[str, list[float]] = {name: [] for name in names}
    kept: dict[str, int] = {}
    for _ in range(given.rounds):
        for name in names:
            seconds, kept[name] = one(given, name)
            spent[name].append(seconds)
    print(f"{size:.1f} MB of text; medians of {given.rounds}")
    ours = statistics.median(spent["gristmill"])
    for name in names:
        found = statistics.median(spent[name])
        several = " ".join(f"{seconds:.1f}" for seconds in sorted(spent[name]))
        print(
            f"{name:10} {found:8.2f} s of CPU ({several}), {size / found:6.1f} MB/s, kept {kept[name]:,}; gristmill is {found / ours:.2f}x"
        )


def one(given: argparse.Namespace, name: str) -> tuple[float, int]:
    """(CPU seconds, documents kept) of one process."""
    import pyarrow.dataset as ds

    with tempfile.TemporaryDirectory(prefix="near-") as folder:
        out = Path(folder) / "out"
        call = [sys.executable, __file__, str(given.file.resolve()), "--child", name, "--out", str(out)]
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
        os.sched_setaffinity(process.pid, {given.core})
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{name} failed:\n{said.decode(errors='replace')[-3000:]}")
        rows = ds.dataset(out / "train" if name == "gristmill" else out, format="parquet").count_rows()
        return usage.ru_utime + usage.ru_stime, rows


def _text_bytes(path: Path) -> int:
    import orjson

    with gzip.open(path) as lines:
        return sum(len(orjson.loads(line)["text"].encode()) for line in lines)


# -- the processes ---------------------------------------------------------------------------------


def gristmill(path: Path, out: Path) -> None:
    recipe = out.with_suffix(".yaml")
    recipe.write_text(RECIPE.format(path=path, out=out))
    sys.argv = ["gristmill", "run", str(recipe)]
    from pipeline.cli import main as run

    run()


def daft(path: Path, out: Path) -> None:
    import pyarrow as pa
    from cases_dedup import daft_near

    table, kept = daft_near(str(path))
    _write(table.take(pa.array(list(kept))), out)


def rensa(path: Path, out: Path) -> None:
    import orjson
    import pyarrow as pa
    from cases_dedup import rensa_near

    with gzip.open(path) as lines:
        records = [orjson.loads(line) for line in lines]
    _write(pa.Table.from_pylist([records[row] for row in rensa_near(records)]), out)


def datatrove(path: Path, out: Path) -> None:
    import orjson
    from cases_dedup import datatrove_near
    from datatrove.pipeline.writers import ParquetWriter

    def flat(_: Any, document: Any) -> dict[str, str]:
        """Its writer takes its columns from the first records; other fields in later ones would end it."""
        return {"text": document.text, "id": document.id, "metadata": orjson.dumps(document.metadata).decode()}

    datatrove_near(path, out.with_name("work"), ParquetWriter(str(out), compression="zstd", adapter=flat))


def _write(table: Any, out: Path) -> None:
    import pyarrow.parquet as pq

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pq.write_table(table, out / "kept.parquet", compression="zstd", compression_level=3)


RUN = {"gristmill": gristmill, "daft": daft, "rensa": rensa, "datatrove": datatrove}

if __name__ == "__main__":
    main()
