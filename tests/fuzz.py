"""Fuzzing: small files of every format, mutated, through readers and row steps; nothing may raise, hang or get lost.

    python tests/fuzz.py --cases 100000 --seed 1            make fuzz: the whole target
    python tests/fuzz.py --seed 1 --only 48213 --save DIR   one case again, as a file

Case n of a seed is always the same bytes: a seed file (fuzz_seeds.py), changed (fuzz_mutations.py), packed or not. A child
does the cases and leaves the number of the one at hand in a file; one that takes longer than LIMIT seconds or kills the
child is a finding, and a new child goes on behind it. What was found lies in tests/fuzz_cases/, and the suite reads it.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_mutations import case

sys.path.insert(0, str(Path(__file__).parent.parent))

LIMIT = 20.0
"""Seconds for one case. The slowest honest one takes some 0.2; a busy machine may be ten times slower."""
MEMORY = 6 << 30
"""Bytes of address space that cases may add to what the child starts with."""
EXTRACTS: list[dict[str, Any]] = [
    {"engine": "resiliparse"},
    {"engine": "gristmill", "as": "markdown", "links": True, "metadata": True, "refuse": ["noai"]},
    {"engine": "gristmill", "main_content": False},
    {"engine": "resiliparse", "as": "markdown", "links": True, "formulas": True},
]
"""A case's size says which of them is its first step."""
STEPS = [
    {"edit": {"repair_unicode": {}, "normalize_whitespace": {}, "citation_marks": {}, "boilerplate_lines": {}}},
    {"keep": {"language": {"min_score": 0.1, "second": True, "script": True}}},
    {"keep": {"gopher_repetition": None, "gopher_quality": {"word_count": {"min": 5}}}, "where": {"lang": "en"}},
    {"edit": {"c4_lines": {"terminal_punctuation": False}}, "where": {"lang": "en"}},
    {"keep": {"c4": {}, "fineweb": None}, "where": {"lang": "en"}},
    {"keep": "chinese_web", "where": {"lang": "zh"}},
    {"edit": {"scrub_pii": {}}},
]


# ---- what must hold


TALKS = (b'"conversations":', b'"instruction":', b'"messages":', b'"chosen":')
"""What tells a file of conversations, which is read in a layout."""


@cache
def steps(chain: int) -> Any:
    """The chain that documents go through, with one of EXTRACTS."""
    import filters
    from pipeline.recipes.build import build
    from pipeline.recipes.recipe import read
    from pipeline.recipes.steps import parse_steps
    from pipeline.refining import row_steps

    text = json.dumps(
        {"input": {"paths": "x"}, "steps": [{"extract": EXTRACTS[chain]}, *STEPS], "output": {"path": "o"}}
    )
    recipe, source = read(text, "fuzz")
    filters.load_builtin()
    rows = parse_steps(recipe.steps, source).rows
    middle = [row_steps.Named(row.name, build(row, False), row.kind == "edit", row.kind == "rules") for row in rows]
    return [
        row_steps.Named("00.read", row_steps._http_status, False),
        *middle,
        row_steps.Named("99.empty", row_steps._not_empty, False),
    ]


def check(kind: str, data: bytes, folder: Path) -> Counter[str]:
    """Reads a file and takes its documents through the chain. AssertionError or what was raised if a promise is broken.

    Returns how many were kept, rejected, quarantined, skipped. InputError (a letter about the whole file) is allowed.
    """
    from reading import account, load, quarantined, rows, skipped

    from pipeline.chat.tables_out import fitting
    from pipeline.errors import InputError
    from pipeline.readers import Options
    from pipeline.refining.row_steps import KEPT_STEP, apply

    path = folder / f"case.{kind}"
    path.write_bytes(data)
    options = Options(layout="auto") if any(mark in data for mark in TALKS) else Options()
    try:
        batches = load(path, format=kind, options=options)
    except InputError as error:
        assert str(error)
        return Counter(refused=1)
    account(batches, gaps=True)
    total = Counter(quarantined=len(quarantined(batches)), skipped=sum(skipped(batches).values()))
    total["read"] = sum(len(batch.table) for batch in batches) + total["quarantined"]
    chain = steps(len(data) % len(EXTRACTS))
    for batch in batches:
        for name, outcome in apply(chain, batch.table):
            if name == KEPT_STEP:
                total["kept"] += len(outcome)
                assert not any("\ud800" <= c <= "\udfff" for text in outcome["text"].to_pylist() for c in text)
                if options.layout:
                    fitting({"name": "sharegpt", "turns": "sharegpt"})(outcome)
            elif not name.startswith("edited:"):
                total["rejected"] += len(outcome[0])
                why = [entry for entry in outcome[1].to_pylist() if entry["reason"].startswith("error.")]
                assert not why, f"{name} raised {why[0]}"
    assert total["read"] == total["kept"] + total["rejected"] + total["quarantined"], total
    if len(data) % 5 == 0:  # rows do not hang on the size of batches
        alone = rows(load(path, format=kind, options=options, batch_rows=1))
        assert alone == rows(batches)
    return total


# ---- the target


def serve(seed: int, first: int, cases: int, folder: Path, out: Path, stride: int) -> None:
    """Does cases in this process; notes each before it begins. Findings go to `out` as JSON lines."""
    size = _address_space()
    check("jsonl", b'{"text": "warm"}', folder)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    total: Counter[str] = Counter()
    at = folder / "at"
    for number in range(first, cases, stride):
        if _address_space() > size + MEMORY // 2:
            with out.open("a") as file:
                file.write(json.dumps({"done": dict(total), "next": number}) + "\n")
            return
        at.write_text(str(number))
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        try:
            kind, data = case(seed, number)
            total.update(check(kind, data, folder))
        except Exception as error:
            found = {"case": number, "kind": kind, "error": f"{type(error).__name__}: {error}"[:500]}
            with out.open("a") as file:
                file.write(json.dumps(found | {"trace": traceback.format_exc(limit=-6)}) + "\n")
        faulthandler.cancel_dump_traceback_later()
        total["cases"] += 1
    with out.open("a") as file:
        file.write(json.dumps({"done": dict(total)}) + "\n")


def _address_space() -> int:
    """Bytes, touched or not. Arrow's allocator keeps the addresses of what broken Arrow files claim to need, and gives the memory
    back; a child that has gathered many would fail in a case that asks for little, so another one goes on."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> int:
    """The whole target, or one case of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--save", type=Path, help="with --only: write its file there")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--child", nargs=3, metavar=("FIRST", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        first, folder, out = given.child
        serve(given.seed, int(first), given.cases, Path(folder), Path(out), given.workers)
        return 0
    if given.only is not None:
        return _one(given.seed, given.only, given.save)
    started = time.time()
    found = list(_all(given))
    total = sum((Counter(line["done"]) for line in found if "done" in line), Counter())
    bad = [line for line in found if "done" not in line]
    for line in bad:
        print(json.dumps(line))
    print(
        f"{len(bad)} findings in {given.cases:,} cases of seed {given.seed}, {time.time() - started:.0f} s: {dict(total)}"
    )
    return 1 if bad else 0


def _one(seed: int, number: int, save: Path | None) -> int:
    kind, data = case(seed, number)
    if save:
        save.mkdir(parents=True, exist_ok=True)
        (save / f"{seed}-{number}.{kind}").write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        print(kind, len(data), dict(check(kind, data, Path(folder))))
    return 0


def _all(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Findings of the children, and of their deaths."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:
        running = {worker: _child(given, worker, Path(root) / str(worker)) for worker in range(given.workers)}
        while running:
            for worker, child in list(running.items()):
                folder = Path(root) / str(worker)
                if child.poll() is None:
                    time.sleep(0.2)
                    continue
                del running[worker]
                if child.returncode:
                    number = int((folder / "at").read_text())
                    trace = (folder / "err").read_text()[-2000:]
                    yield {
                        "case": number,
                        "kind": case(given.seed, number)[0],
                        "error": f"exit {child.returncode}",
                        "trace": trace,
                    }
                    if number + given.workers < given.cases:
                        running[worker] = _child(given, number + given.workers, folder)
                told = (folder / "out").read_text().splitlines() if (folder / "out").exists() else []
                (folder / "out").unlink(missing_ok=True)
                for line in told:
                    found = json.loads(line)
                    if "next" in found:
                        running[worker] = _child(given, found["next"], folder)
                    yield found


def _child(given: argparse.Namespace, first: int, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    (folder / "at").write_text(str(first))  # who dies before the first case is blamed on that one
    command = [sys.executable, __file__, "--seed", str(given.seed), "--cases", str(given.cases)]
    command += ["--workers", str(given.workers), "--child", str(first), str(folder), str(folder / "out")]
    with (folder / "err").open("w") as err:
        return subprocess.Popen(command, stderr=err)


if __name__ == "__main__":
    sys.exit(main())
