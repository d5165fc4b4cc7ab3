"""Kernels compile once per machine, CPU type and release. Here that is done ahead, in one process, with a word about it.

numba compiles at the first call. Left alone, each worker that starts would compile the same functions at the same
time; so the first process that needs kernels takes a lock, calls each of them on a few lines of text, and leaves a mark.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding
import numpy as np
import pyarrow as pa

import filters
from filters.html_limits import measure
from kernels.compile import cache_folder

TEXTS = [
    "The mill grinds the grain of the village, and the miller is paid in flour. It is slow work!\n\nBut it is done well.\n- one\n- two",
    "磨坊主慢慢地磨着麦子，面粉从石头之间流出来。村里的人都来这里。\n他们带来粮食，也带来故事。",
    "Die Mühle mahlt langsam … aber fein; ihre Räder drehen sich seit 1789.\r\nﬁn\u0301 İ Σίσυφος café naïve schÃ¶n",
    "",
]
"""A few lines that reach every kernel: ASCII, Han, combining marks, upper case, an empty text."""


OLD_SECONDS = 30 * 24 * 3600.0


def ensure_warm(say: Callable[[str], None]) -> float:
    """Compiles what is not compiled yet; returns the seconds it took, 0 at once where that was done before."""
    folder = cache_folder()
    if folder is None:
        return 0.0
    mark = folder / f"warm-{llvmlite.binding.get_host_cpu_name()}"
    if mark.exists():
        return 0.0
    began = time.perf_counter()
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            say("Compiling kernels for this machine, once per release ...")
            seconds = warm()
            mark.write_text(f"{seconds:.1f} s\n")
            _forget_old(folder)
            say(f"Compiled in {seconds:.0f} s; kept in {folder}")
    return time.perf_counter() - began


def _forget_old(folder: Path) -> None:
    """Removes kernels of other releases that nobody has loaded for a month."""
    for other in folder.parent.glob("kernels-*"):
        if other != folder and time.time() - other.stat().st_atime > OLD_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def warm() -> float:
    """Calls every kernel once, those of dedup in a process of their own at the same time. Returns the seconds it took."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-c", "from pipeline.commands.warmup import warm_dedup; warm_dedup()"]
    beside = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        warm_texts()
    finally:
        failed = beside.wait()
    if failed:
        warm_dedup()
    return time.perf_counter() - started


def warm_texts() -> None:
    """The kernels of signals, edits and language."""
    filters.load_builtin()
    array = pa.array(TEXTS * 2, pa.large_string())
    texts = filters.Texts(array)
    for name, signal in filters.SIGNALS.items():
        if signal.function.__module__.startswith("filters.") and signal.family != "tokens":
            filters.SIGNALS[name].function(texts)
    _edits(array)
    measure(b"<p>A mill</p>")


def warm_dedup() -> None:
    """The kernels of dedup and of the engine `gristmill`."""
    _pages()
    _dedup(pa.array(TEXTS * 2, pa.large_string()))


def _pages() -> None:
    from filters.extract_engines import engine

    engine("gristmill")("<h1>Mills</h1><p>They grind.</p>")


def _edits(array: pa.Array) -> None:
    from filters.language import identify

    identify(filters.Texts(array))
    _json_lines()
    for name in ("c4_lines", "repair_unicode", "scrub_pii"):
        filters.EDITS[name].function(filters.Texts(array))


def _json_lines() -> None:
    from pipeline.readers import jsonl
    from pipeline.readers.rows import Columns, Rows

    for _ in jsonl.read_plain(iter([b'{"text": "a"}\n']), Rows("", Columns(), "", 1, 1)):
        pass


def _verdicts(docs: np.ndarray, pairs: np.ndarray, similarity: np.ndarray) -> None:
    """In memory and on files."""
    from dedup.external import decide_texts
    from dedup.graph import Graph
    from dedup.graph_files import Sizes

    words = np.stack([docs[::-1], docs, docs], axis=1)
    graph = Graph(
        nodes=lambda: iter([(docs, words)]),
        edges=lambda: iter([(pairs, similarity)]),
        loose=lambda: iter([pairs[:1] + np.uint64(1)]),
        twins=lambda: iter([pairs[1:] + np.uint64(1)]),
    )
    for sizes in (None, Sizes(9, 100, 100, 7)):
        with tempfile.TemporaryDirectory() as scratch:
            for _ in decide_texts(graph, scratch, 1 << 24, sizes):
                pass


def _spans() -> None:
    """Of numbers read from a file by places."""
    from dedup.columns import frozen
    from kernels.gather import ask_ahead, read_spans

    first, last = frozen(np.zeros(1), np.int64), frozen(np.ones(1), np.int64)
    with tempfile.TemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        ask_ahead(file.fileno(), first, last)
        read_spans(file.fileno(), first, last, np.empty(1, np.uint64), first)


def _dedup(array: pa.Array) -> None:
    from dedup.candidates import candidate_pairs, twins
    from dedup.columns import char_counts
    from dedup.exact import text_hashes
    from dedup.join import HeldoutIndex
    from dedup.lines import units, without_units
    from dedup.minhash import Bands, band_hashes, signatures
    from dedup.shingles import shingle_sets
    from dedup.similarity import jaccards
    from dedup.substrings import anchors, windows, without_windows
    from dedup.survivors import components, survivors
    from dedup.urls import canonical_urls

    _spans()
    char_counts(array)
    canonical_urls(pa.array(["http://a.example/b"]))
    found = units(array)
    without_units(array, found, found.hashes == 0)
    _, rows, places = anchors(array, 3)
    windows(array, rows, places, 3)
    without_windows(array, rows, places, 3)
    offsets, values = shingle_sets(array)
    bands = Bands(4, 8)
    hashes = band_hashes(signatures(offsets, values, bands.hashes, 1), bands)
    docs = np.arange(len(array), dtype=np.uint64)
    text = text_hashes(array)
    candidate_pairs(hashes.reshape(-1), np.repeat(text[:, 0], bands.bands), np.repeat(docs, bands.bands))
    pairs = np.array([[0, 4], [1, 5]], dtype=np.int64)
    similarity = jaccards(offsets, values, pairs[:, 0], pairs[:, 1], min_similarity=0.5)
    survivors(np.arange(len(array)), pairs, similarity, twins(text[:, 0], text[:, 1], docs).astype(np.int64))
    components(len(array), pairs)
    _verdicts(docs, pairs.astype(np.uint64), similarity)
    HeldoutIndex(offsets, values, 0.8).probe(offsets, values)
