"""What a run costs before its first document: imports left out, Ray in the background, tables kept."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from corpus import CHECKOUT, RECIPE, assignments, mill, sums

from filters.late import late
from kernels.kept import kept_table
from pipeline.engines import largest_first, starting
from pipeline.progress import reporter
from pipeline.recipes.recipe import Run


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True
    )


def test_preparing_a_run_loads_no_library_it_does_not_need(tmp_path):
    code = """
import sys
from pipeline.job import prepare
prepare("configs/demo.yaml", [f'output.path="{sys.argv[1]}/out"'])
unwanted = {"pandas", "scipy.linalg", "cffi", "boto3", "smart_open", "ray", "datatrove", "fasttext"}
print(sorted(unwanted & sys.modules.keys()))
import pyarrow as pa
print(pa.table({"a": [1, 2]}).to_pandas()["a"].sum())
"""
    done = python(code, str(tmp_path))
    assert done.stdout.split("\n")[:2] == ["[]", "3"], done.stderr


def test_a_log_needs_nothing_that_draws():
    code = "import sys; from pipeline.progress import reporter; reporter(False); print('rich' in sys.modules)"
    done = python(code)
    assert done.stdout == "False\n", done.stderr


def test_a_terminal_gets_bars(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    teller = reporter(False)
    teller.stage("refine", 2, 1, 100)
    teller.task({"size": 50, "counts": {"account": {"read": 5, "kept": 3}, "bytes": 9}})
    teller.note("one word more")
    teller.close()
    shown = sys.stderr.getvalue()
    assert "reading and cleaning" in shown and "2/2" in shown and "5 documents" in shown and "one word more" in shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_late_pattern_is_compiled_when_it_is_used(monkeypatch):
    compiled = []
    real = re.compile
    monkeypatch.setattr("filters.late.re.compile", lambda *asked: compiled.append(asked) or real(*asked))
    pattern = late("a(b+)", re.IGNORECASE)
    assert compiled == []
    assert pattern.sub(r"\1", "xABBx") == "xBBx" and pattern.findall("ab abb") == ["b", "bb"]
    assert pattern.sub("", "ab") == "" and len(compiled) == 2  # once for each method, out of the cache of `re`


def test_a_user_module_finds_all_of_numba(tmp_path):
    """`uses:` may bring a kernel with np.dot, which numba hands to scipy."""
    (tmp_path / "mine.py").write_text(
        "import numba\nimport numpy as np\n\n\n@numba.njit\ndef product(a):\n    return np.dot(a, a)\n\n\n"
        "assert product(np.ones(3)) == 3\n"
    )
    code = "import sys; from pipeline.job import prepare; prepare('configs/demo.yaml', sys.argv[1:]); print('fine')"
    done = python(code, f'output.path="{tmp_path}/out"', f'uses=["{tmp_path}/mine.py"]')
    assert done.stdout == "fine\n", done.stderr


def test_freed_memory_is_used_again():
    """A batch of pages grows to 22 MB twice: the second time no new pages are asked of the system."""
    code = """
import ctypes, resource
if not hasattr(ctypes.CDLL(None), "mallopt"):
    print("another C library")
    raise SystemExit
from pipeline.lean import keep_memory
keep_memory()
def faults():
    before, page, pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, bytes(73_000), bytearray()
    for _ in range(300):
        pages += page
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""
    done = python(code)
    if done.stdout == "another C library\n":
        pytest.skip("the C library has no mallopt")
    first, second = map(int, done.stdout.split())
    assert first > 4000 and second < 400, done.stderr


def test_kept_table_is_made_once_and_again_if_its_file_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("kernels.kept.FOLDER", tmp_path)
    made = []

    def squares(n: int) -> np.ndarray:
        made.append(n)
        return np.arange(n) ** 2

    for _ in range(2):  # two processes, as it were: each has its own memory
        assert kept_table(__file__)(squares)(5).tolist() == [0, 1, 4, 9, 16]
    assert made == [5]
    assert kept_table(__file__)(squares)(3).tolist() == [0, 1, 4]
    for file in tmp_path.glob("*.table"):
        file.write_bytes(file.read_bytes()[:20])
    assert kept_table(__file__)(squares)(5).tolist() == [0, 1, 4, 9, 16]
    assert made == [5, 3, 5]


def test_large_tasks_come_first():
    specs = [{"task": name, "shards": [{"size": size}]} for name, size in (("a", 1), ("b", 9), ("c", 4))]
    assert [spec["task"] for spec in largest_first(specs)] == ["b", "c", "a"]
    assert largest_first([{"task": "x"}, {"task": "y"}]) == [{"task": "x"}, {"task": "y"}]


def test_helpers_start_before_ray_changes_the_environment(monkeypatch):
    """A process that starts while Ray, in another thread, sets variables can fail with "Bad address"."""
    order = []

    monkeypatch.setattr(starting, "Helper", lambda: order.append("helper"))
    monkeypatch.setattr(starting.StartingEngine, "_start", lambda engine: order.append("ray"))
    engine = starting.StartingEngine(Run(engine="ray", workers=3))
    engine._thread.join()
    assert order == ["helper", "helper", "ray"]


@pytest.mark.ray
def test_large_stages_go_through_ray_data_to_the_same_bytes(tmp_path):
    code = """
import sys
import ray.data
import pipeline.engines.ray as engine
engine.DATA_TASKS = 1
real = ray.data.from_items
ray.data.from_items = lambda *given, **named: print("by Ray Data", file=sys.stderr) or real(*given, **named)
from pipeline.cli import main
sys.argv = ["gristmill", *sys.argv[1:]]
main()
"""
    mill(tmp_path / "calm")
    sets = [part for value in assignments(tmp_path / "out") for part in ("--set", value)]
    done = python(code, "run", RECIPE, *sets, "--engine", "ray", "-q")
    assert done.returncode == 0, done.stderr
    assert "by Ray Data" in done.stderr
    assert sums(tmp_path / "out") == sums(tmp_path / "calm")
