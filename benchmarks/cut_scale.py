"""CPU time and memory of the dedup steps that cut texts, stage by stage.

    python benchmarks/cut_scale.py FILE.jsonl.gz ... [--steps lines substrings] [--copies 1]

    stage                 CPU s    MB/s  peak MB
    refine                 1.80    42.9      402
    lines-band             0.93    83.0      450
    ...

One process; MB are 10^6 bytes of UTF-8 text that refine read. `--copies 4` makes a corpus of four times the size in which
hardly a run of tokens is repeated between copies: words carry the copy's number. (Lines are: their digits count as 0.)
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.engines.local import LocalEngine
from pipeline.job import resolve
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
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
        found = timed_stages()
        outcome = run(resolve(recipe, source), recipe.run, LocalEngine(), Silent())
    size = outcome.manifest["bytes"]["read"] / 1e6
    print(f"{'stage':<20} {'CPU s':>6} {'MB/s':>7} {'peak MB':>8}")
    for name, (spent, peak) in found.items():
        print(f"{name:<20} {spent:>6.2f} {size / max(spent, 1e-9):>7.1f} {peak:>8.0f}")
    print(f"{size:.1f} MB, {sum(spent for spent, _ in found.values()):.1f} CPU s")
    for step, told in outcome.manifest["cut"].items():
        print(step, {k: v for k, v in told.items() if k != "most_removed"})


def timed_stages() -> dict[str, tuple[float, float]]:
    """Wraps the driver: CPU seconds and peak resident MB by stage."""
    found: dict[str, tuple[float, float]] = {}
    stage = _Driver.stage

    def timed(self: _Driver, name: str, upstream: list[str]) -> Any:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = time.process_time()
        result = stage(self, name, upstream)
        status = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e3  # type: ignore[index]
        found[name] = (time.process_time() - before, peak)
        return result

    _Driver.stage = timed  # type: ignore[method-assign]
    return found


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
