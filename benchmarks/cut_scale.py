"""CPU time and memory of the dedup steps that cut texts, stage by stage.

    python benchmarks/cut_scale.py FILE.jsonl.gz ... [--steps lines substrings] [--copies 1]

    stage                CPU s    MB/s
    refine                9.10     8.5
    lines-band            1.21    63.7
    ...

One process; MB are 10^6 bytes of UTF-8 text that refine read. `--copies 4` makes a corpus of four times the size in which
nothing new is repeated: each copy's words carry its number.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.engines.local import LocalEngine
from pipeline.job import resolve
from pipeline.progress import Silent
from pipeline.recipe import read
from pipeline.run import _Driver, run

RECIPE = (
    "input: {{paths: {paths}}}\nsteps: {steps}\noutput: {{path: '{out}', format: parquet}}\nrun: {{engine: local}}\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--steps", nargs="*", default=["lines", "substrings"])
    parser.add_argument("--copies", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = given.files if given.copies == 1 else copies(given.files, given.copies, Path(folder))
        steps = [{"dedup": {name: {}}} for name in given.steps]
        text = RECIPE.format(paths=json.dumps(paths), steps=json.dumps(steps), out=f"{folder}/out")
        recipe, source = read(text, "bench.yaml")
        seconds = timed_stages()
        outcome = run(resolve(recipe, source), recipe.run, LocalEngine(), Silent())
    size = outcome.manifest["bytes"]["read"] / 1e6
    print(f"{'stage':<20} {'CPU s':>6} {'MB/s':>7}")
    for name, spent in seconds.items():
        print(f"{name:<20} {spent:>6.2f} {size / max(spent, 1e-9):>7.1f}")
    print(
        f"{size:.1f} MB, {sum(seconds.values()):.1f} CPU s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )
    for step, found in outcome.manifest["cut"].items():
        print(step, {k: v for k, v in found.items() if k != "most_removed"})


def timed_stages() -> dict[str, float]:
    """Wraps the driver: CPU seconds by stage."""
    seconds: dict[str, float] = {}
    stage = _Driver.stage

    def timed(self: _Driver, name: str, upstream: list[str]) -> Any:
        before = time.process_time()
        result = stage(self, name, upstream)
        seconds[name] = time.process_time() - before
        return result

    _Driver.stage = timed  # type: ignore[method-assign]
    return seconds


def copies(files: list[str], count: int, folder: Path) -> list[str]:
    """The files `count` times; in copy 3 each word and each Han character but one in two is followed by a 3."""
    paths = []
    for number in range(count):
        for file in files:
            path = folder / f"{number}-{Path(file).name}"
            with (
                gzip.open(file, "rt", encoding="utf-8") as lines,
                gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as out,
            ):
                for line in lines:
                    record = json.loads(line)
                    record["id"] = f"{number}/{record['id']}"
                    record["text"] = re.sub(
                        r"(?<=\w)(?=\s|[，。、])|(?<=[\u4e00-\u9fff]{2})", f"q{number}", record["text"]
                    )
                    out.write(json.dumps(record, ensure_ascii=False) + "\n")
            paths.append(str(path))
    return paths


if __name__ == "__main__":
    main()
