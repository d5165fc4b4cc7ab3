"""How much memory it takes to decide a graph that lies on files, in a process of its own.

measured(tmp_path, keyed_power_law(400_000, 800_000), 10 << 20, "decide_keyed")   # -> (documents kept, bytes grown)
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
RULES = {
    "decide_texts": ("dedup.external", "test_external_survivors", "power_law"),
    "decide_keyed": ("dedup.external_keyed", "test_external_keyed", "keyed_power_law"),
}
"""Function -> its module, the module of its test, and what makes a graph there, to warm up with."""


def measured(folder: Path, sample, budget: int, rule: str) -> tuple[int, int]:
    at = sample.touched
    parts = {
        "nodes": np.column_stack([sample.docs[at], sample.words[at]]),
        "edges": np.column_stack([sample.docs[sample.edges], sample.similarities.view(np.uint64)]),
        "loose": sample.docs[sample.loose],
        "twins": sample.docs[sample.twins],
    }
    if rule == "decide_keyed":
        parts["keys"] = np.column_stack([sample.docs[sample.keys], sample.kinds.astype(np.uint64)])
    for name, rows in parts.items():
        rows.tofile(folder / name)
    assert sum(rows.nbytes for rows in parts.values()) > 4 * budget
    done = subprocess.run(
        [sys.executable, __file__, folder, str(budget), rule],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kept, grown = map(int, done.stdout.split())
    return kept, grown


def main(folder: str, budget: int, rule: str) -> None:
    from dedup.graph import Graph
    from dedup.graph_files import Sizes

    module, test, small = RULES[rule]
    decide = getattr(importlib.import_module(module), rule)
    make = getattr(importlib.import_module(test), small)
    for sizes in (None, Sizes(200, 999, 999, 300)):  # compiled before memory is looked at
        list(decide(make(2000, 5000).graph(), folder, 1 << 30, sizes))

    def rows(name, width):
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            while len(block := np.fromfile(file, np.uint64, 10_000 * width)):
                yield block.reshape(-1, width)

    keyed = [lambda: ((b[:, :2], b[:, 2].astype(np.uint8)) for b in rows("keys", 3))] if rule == "decide_keyed" else []
    graph = Graph(
        lambda: ((b[:, 0], b[:, 1:]) for b in rows("nodes", 4)),
        lambda: ((b[:, :2], b[:, 2].copy().view(np.float64)) for b in rows("edges", 3)),
        lambda: rows("loose", 2),
        lambda: rows("twins", 2),
        *keyed,
    )
    before = memory("VmRSS")
    kept = sum(int(decisions.kept.sum()) for decisions in decide(graph, folder, budget))
    print(kept, memory("VmHWM") - before)


def memory(line: str) -> int:
    """Bytes. A peak of getrusage would count that of the process before."""
    rows = Path("/proc/self/status").read_text().split("\n")
    (size,) = (row.split()[1] for row in rows if row.startswith(line))
    return int(size) * 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
