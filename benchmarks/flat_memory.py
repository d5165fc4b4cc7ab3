"""Peak memory of reading, or of a whole run, as one shard grows: it must not grow with it.

    python benchmarks/flat_memory.py                           # the reader on JSON Lines of 1, 2 and 5 GB
    python benchmarks/flat_memory.py --what run --gb 1 2       # all stages of a run, one process
    python benchmarks/flat_memory.py --format warc.gz --folder /scratch

Each size is read by a process of its own; its peak is the kernel's (VmHWM of /proc/self/status), imports and all. The
shard is written to `--folder` first (documents of 20 kB and, now and then, 2 MB of random words) and deleted afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

PEAK = """
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
import time
print(documents, int(peak.split()[1]) // 1000, round(time.process_time(), 1))
"""
READ = """
import sys
from pipeline.readers import Columns, format_of, read
documents = 0
for batch in read(sys.argv[1], format=format_of(sys.argv[1]), columns=Columns(), default_source="s"):
    documents += len(batch.table)
"""
RUN = """
import json, pathlib, shutil, sys
from pipeline.engines.local import LocalEngine
from pipeline.job import prepare
from pipeline.progress import Silent
from pipeline.run import run
page = pathlib.Path(sys.argv[1] + ".yaml")
out = sys.argv[1] + ".out"
page.write_text(json.dumps({
    "input": {"paths": sys.argv[1]},
    "steps": [{"extract": {}}] * (".warc" in sys.argv[1]) + [{"keep": {"word_count": {"min": 20}}}, {"dedup": {"exact": {}}}],
    "output": {"path": out, "split": {"train": 1}},
    "run": {"engine": "local"},
}))
try:
    job, recipe = prepare(str(page))
    documents = run(job, recipe.run, LocalEngine(), Silent()).manifest["account"]["kept"]
finally:
    page.unlink()
    shutil.rmtree(out, ignore_errors=True)
"""


def texts() -> Iterator[str]:
    """Endless documents of random words; each call gives the same."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    sentences = [" ".join(rng.choices(words, k=12)) + ".\n" for _ in range(20_000)]
    number = 0
    while True:
        number += 1
        yield "".join(rng.choices(sentences, k=25_000 if number % 2000 == 0 else 280))


def page(number: int, text: str) -> bytes:
    """A record of a WARC."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body><p>" + text.encode() + b"</p></body></html>"
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\nWARC-Target-URI: http://h/{number}\r\n"
    kind = f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    return (head + kind).encode() + http + b"\r\n\r\n"


def write(path: Path, size: int) -> int:
    """A shard of at least `size` plain bytes; returns its documents."""
    written = 0
    with open(path, "wb") as file:
        for number, text in enumerate(texts()):
            if written >= size:
                return number
            record = (
                page(number, text) if ".warc" in path.name else orjson.dumps({"id": f"d{number}", "text": text}) + b"\n"
            )
            written += len(record)
            file.write(gzip.compress(record, 1) if path.name.endswith(".gz") else record)
    raise AssertionError("texts() does not end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, nargs="+", default=[1, 2, 5], help="plain bytes of the shard")
    parser.add_argument("--what", choices=["read", "run"], default="read")
    parser.add_argument("--format", choices=["jsonl", "jsonl.gz", "warc", "warc.gz"], default="jsonl")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    for gigabytes in options.gb:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder, f"shard.{options.format}")
            documents = write(path, int(gigabytes * 1e9))
            script = (READ if options.what == "read" else RUN) + PEAK
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", script, str(path)],
                cwd=Path(__file__).parent.parent,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(done.stderr)
            found, peak, cpu = done.stdout.split()[-3:]
            if options.what == "read":
                assert int(found) == documents, f"{found} of {documents} documents read"
            print(
                f"{options.what} {options.format} {gigabytes:g} GB: {found} documents, peak {peak} MB, "
                f"{cpu} s of CPU, {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
