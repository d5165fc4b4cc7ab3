"""The house keeps its shape: directions of imports, one room for ray, everything named is documented."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "cluster": {"cluster", "pipeline", "dedup", "filters", "kernels"},
    "pipeline": {"pipeline", "dedup", "filters", "kernels"},
    "dedup": {"dedup", "kernels"},
    "filters": {"filters", "kernels"},
    "kernels": {"kernels"},
}
FILES = [file for room in MAY_IMPORT for file in sorted((ROOT / room).rglob("*.py"))]


def imported(file: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_run_one_way(file):
    room = file.relative_to(ROOT).parts[0]
    assert imported(file) & MAY_IMPORT.keys() <= MAY_IMPORT[room]


def test_one_file_imports_ray():
    users = [file for file in FILES if "ray" in imported(file) and file.relative_to(ROOT).parts[0] != "cluster"]
    assert users == [ROOT / "pipeline" / "engines" / "ray.py"]


def test_every_public_function_says_what_it_does():
    silent = []
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node) and node.end_lineno - node.lineno > 8:
                silent.append(f"{file.relative_to(ROOT)}: {node.name}")
    assert silent == []


def test_every_room_is_packed():
    """A package that pyproject.toml does not name is missing from what `pip install .` installs."""
    rooms = {file.parent.relative_to(ROOT).as_posix().replace("/", ".") for file in FILES}
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert rooms <= named and all((ROOT / room.replace(".", "/")).is_dir() for room in named)


def test_hidden_rooms_are_told(tmp_path):
    """A folder `filters` in the working directory that hides ours is named, not run."""
    import subprocess
    import sys

    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "__init__.py").write_text("")
    code = f"import sys; sys.path.append({str(ROOT)!r}); import pipeline"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "is hidden" in done.stderr and str(tmp_path / "filters") in done.stderr
