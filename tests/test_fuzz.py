"""The seed corpus of the fuzz target, and a few hundred cases of it; `make fuzz` does 100,000."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import fuzz
import pytest
from fuzz_seeds import seeds

CASES = sorted((Path(__file__).parent / "fuzz_cases").iterdir())


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name)
def test_a_kept_case(file: Path, tmp_path: Path) -> None:
    fuzz.check(file.suffix[1:], file.read_bytes(), tmp_path)


def test_seeds_are_read_and_kept(tmp_path: Path) -> None:
    """A target whose seeds nothing can be made of would fuzz nothing."""
    for kind, files in seeds().items():
        total = sum((fuzz.check(kind, data, tmp_path) for data in files), start=fuzz.Counter())
        assert total["read"] > total["quarantined"], kind
    kept = [fuzz.check("jsonl", data, tmp_path)["kept"] for data in seeds()["jsonl"]]
    assert any(kept)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_the_first_cases(first: int, tmp_path: Path) -> None:
    for number in range(first, first + 100):
        kind, data = fuzz.case(0, number)
        assert (kind, data) == fuzz.case(0, number)
        fuzz.check(kind, data, tmp_path)


def test_a_finding_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the target would do with a reader that raises, loses a record, or a step that raises."""
    from pipeline.readers import jsonl

    good = json.dumps({"text": "The mill grinds. " * 20}).encode() + b"\n"

    def raising(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(jsonl, "wanted", raising)
        with pytest.raises(ZeroDivisionError):
            fuzz.check("jsonl", good, tmp_path)
    broken = [replace(fuzz.steps(0)[1], step=raising)]
    with monkeypatch.context() as patch:
        patch.setattr(fuzz, "steps", lambda chain: broken)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            fuzz.check("jsonl", good, tmp_path)


def test_a_child_that_dies_before_its_first_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = list(fuzz._all(Namespace(seed=0, cases=3, workers=2)))
    assert sorted(each["case"] for each in found) == [0, 1, 2] and {each["error"] for each in found} == {"exit 1"}
