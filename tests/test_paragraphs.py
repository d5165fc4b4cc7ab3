"""language_paragraphs and other_language_ratio: rules, a plain twin, real paragraphs of several languages mixed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import filters
from filters import Texts
from filters.paragraphs import _spread
from filters.scripts import in_scripts
from pipeline.errors import RecipeError
from pipeline.recipes.build import build
from pipeline.recipes.source import parse
from pipeline.recipes.steps import parse_steps

filters.load_builtin()
EN = "The mill by the river grinds slowly but fine, day and night."
DE = "Die Mühle am Fluss mahlt langsam, aber fein, bei Tag und bei Nacht."
ZH = "磨坊主慢慢地磨着麦子，面粉从石头之间流出来。"
JA = "水車小屋はゆっくりと小麦を挽いています。"


def cut(texts, **options):
    return (
        filters.EDITS["language_paragraphs"].function(Texts(pa.array(texts, pa.large_string())), **options).to_pylist()
    )


def share(texts):
    return filters.SIGNALS["other_language_ratio"].function(Texts(pa.array(texts, pa.large_string()))).tolist()


@pytest.mark.parametrize(
    ("text", "wanted", "left"),
    [
        (f"{EN}\n{DE}", ["en"], EN),
        (f"{EN}\n{DE}", ["en", "de"], f"{EN}\n{DE}"),
        (f"{EN}\n{DE}", ["fr"], ""),
        (
            f"{EN}\n\nTitel\n\n{DE}\n\n1 2 3\n{DE}\n\nNoch\n\n{EN}\nEnd",
            ["en"],
            f"{EN}\n\nTitel\n\n\nNoch\n\n{EN}\nEnd",
        ),
        (f"Titel\n{DE}\nEnde\n", ["en"], ""),  # nothing else in sight: the short ones go with it
        ("Kurz.\nAuch.", ["en"], "Kurz.\nAuch."),  # nothing can be judged
        (f"{ZH}\n{JA}", ["zh"], ZH),
        (
            "Google Android存在权限提升漏洞，攻击者可利用该漏洞提升权限。",
            ["zh"],
            "Google Android存在权限提升漏洞，攻击者可利用该漏洞提升权限。",
        ),
        ("", ["en"], ""),
        (None, ["en"], None),
    ],
)
def test_cases(text, wanted, left):
    assert cut(["x", text, EN], in_=wanted)[1] == left
    assert cut([left], in_=wanted) == [left]


def test_a_line_without_kana_that_the_model_calls_japanese():
    from filters.language import identify

    line = "Google Android存在权限提升漏洞，攻击者可利用该漏洞提升权限。"
    assert identify(Texts(pa.array([line])))[0] == ["ja"]  # else the case above says nothing


def test_bounds():
    text = f"{EN}\n{DE}"
    assert cut([text], in_=["en"], min_letters=300) == [text]
    assert cut([text], in_=["en"], min_score=1.0) == [text]


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({}, r"say which languages stay: \{in: \[en, zh\]\}"),
        ({"in_": ["eng"]}, "no language 'eng', did you mean 'en'"),
        ({"in_": ["en"], "min_score": 2}, "from 0 to 1"),
        ({"in_": ["en"], "min_letters": 0}, "1 or more"),
        ({"in_": ["en"], "model": "/nowhere/lid.bin"}, "no model file"),
    ],
)
def test_wrong_options(options, letter):
    with pytest.raises((ValueError, OSError), match=letter):
        cut([], **options)


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), max_size=7), max_size=5))
def test_neighbours_decide(texts):
    """The rule for lines that cannot be judged, written plainly."""
    begins = np.cumsum([0, *map(len, texts)])
    goes = np.array([each for text in texts for each in text], np.int64)
    expected = []
    for text in texts:
        for at, each in enumerate(text):
            above = next((x for x in reversed(text[:at]) if x), 0)
            below = next((x for x in text[at + 1 :] if x), 0)
            expected.append(each == 1 if each else {above, below} in ({1}, {1, 0}))
    assert _spread(goes, begins).tolist() == expected


def test_share_of_other_languages():
    letters = [int(in_scripts(Texts(pa.array([text]))).sum()) for text in (EN, DE)]
    found = share([EN, f"{EN}\n{DE}", f"{EN}\n{DE}\n{EN}\nkurz", "", None, "x"])
    assert found == [
        0,
        pytest.approx(letters[0] / sum(letters)),
        pytest.approx(letters[1] / (2 * letters[0] + letters[1])),
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("lang", ["de", "fr", "es", "ru", "zh", "ja"])
def test_mixed_paragraphs_that_people_wrote(small_data, lang):
    """Each paragraph of one language among those of another: the others go, its own stay."""
    rows = [
        json.loads(line)
        for line in gzip.decompress((small_data / "stop_words/prose.jsonl.gz").read_bytes()).splitlines()
    ]
    mine = [" ".join(row["text"].split()) for row in rows if row["lang"][:2] == lang]
    others = [" ".join(row["text"].split()) for row in rows if row["lang"][:2] != lang][: len(mine)]
    texts = [f"{a}\n{b}\n{a}" for a, b in zip(mine, others, strict=False)]
    left = cut(texts, in_=[lang])
    right = [text == f"{a}\n{a}" for text, a in zip(left, mine, strict=False)]
    assert len(texts) >= 20 and np.mean(right) >= 0.95
    assert all(value > 0 for value in share(texts))


def test_as_a_step_of_a_recipe():
    """One language as a plain word; a wrong one refused with its line."""
    source = parse(
        "steps:\n  - edit: {language_paragraphs: {in: en}}\n  - edit: {language_paragraphs: {in: [eng]}}\n", "r.yaml"
    )
    (step,) = parse_steps(source.data["steps"][:1], source).rows
    assert step.options["options"]["in_"] == ["en"]
    table, why = build(step, record=False)(pa.table({"text": pa.array([f"{EN}\n{DE}"], pa.large_string())}))
    assert table["text"].to_pylist() == [EN] and why.null_count == 1
    with pytest.raises(RecipeError, match=r"r\.yaml:3: .*no language 'eng'"):
        parse_steps(source.data["steps"], source)


def test_the_list_of_signals_and_edits_needs_no_compiler():
    """`gristmill signals` and `plan` import no numba: it takes longer than they do."""
    code = "import sys, filters; filters.load_builtin(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
