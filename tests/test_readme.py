"""What the README prints is what the demo prints on this commit."""

from __future__ import annotations

import re
from pathlib import Path

from corpus import manifest

from pipeline.progress import funnel

README = Path(__file__).resolve().parent.parent / "README.md"


def test_demo_output(demo):
    found = re.search(r"<!-- demo -->\n```\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found and found[1] == funnel(manifest(demo)), "put the new funnel into README.md:\n" + funnel(manifest(demo))


def test_links_lead_somewhere():
    for page in [README, *sorted((README.parent / "docs").glob("*.md")), README.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} names {target}"


def test_tests_of_the_table_of_planted_leaks_are_there():
    known = set()
    for file in (README.parent / "tests").glob("test_*.py"):
        known |= set(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    table = (README.parent / "docs" / "splits.md").read_text(encoding="utf-8").partition("## Planted leaks")[2]
    named = set(re.findall(r"`(test_\w+)`", table))
    assert len(named) > 10 and named <= known, named - known
