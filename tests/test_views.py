"""Keep steps in a row share what they find; what goes out, why, and what is recorded is the same as if each began anew."""

import dataclasses
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filters
from filters import Texts
from filters.counts import in_lines, in_words
from filters.rules import Rule, keep_rules, load_rule_set
from filters.texts import Views
from pipeline.recipes.build import _only_where, build
from pipeline.recipes.keep import RULE_SETS
from pipeline.recipes.row_step import RowStep
from pipeline.refining.row_steps import KEPT_STEP, Named, apply

filters.load_builtin()
RULES = {
    "words": [["word_count", 3, 40], ["mean_word_length", 2, 9]],
    "repetition": [["char_count", 1, None], ["duplicate_line_ratio", None, 0.3], ["top_2gram_char_ratio", None, 0.4]],
    "stops": [["stop_word_count", 1, None], ["hash_ratio", None, 0.2], ["word_count", 5, None]],
    "lines": [["terminal_line_ratio", 0.1, None], ["newline_word_ratio", None, 0.5], ["sentence_count", 1, None]],
}
WHERE = [{}, {"lang": ["en"]}, {"lang": ["zh", "de"]}, {"lang": ["en"], "source": ["a"]}, {"source": ["nobody"]}]
PIECES = ["the ", "of ", "and ", "mill", "磨", "坊", "。", ". ", "!", "# ", "\n\n", "\n", " - ", "1 ", "ab ab ", "..."]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def steps(plan, record):
    made = []
    for number, (name, where) in enumerate(plan):
        if name == "edit":
            step = RowStep(f"{number}.edit", "edit", {"edit": "c4_lines", "options": {"min_words": 1}}, where)
        else:
            step = RowStep(f"{number}.{name}", "rules", {"rules": RULES[name]}, where)
        made.append(Named(step.name, build(step, record), step.kind == "edit", step.kind == "rules"))
    return made


def results(named, table):
    """All that `apply` gives, as plain data, columns by name."""
    found = []
    for name, outcome in apply(named, table):
        if name == KEPT_STEP:
            found.append((name, outcome.to_pydict()))
        elif isinstance(outcome, tuple):
            found.append((name, outcome[0].to_pydict(), outcome[1].to_pylist()))
        else:
            found.append((name, outcome))
    return json.dumps(found, allow_nan=True)


def alone(named):
    """The same steps, none of which is handed anything."""
    return [dataclasses.replace(each, judges=False) for each in named]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.none() | TEXTS, st.sampled_from([None, "en", "zh", "de"]), st.sampled_from("ab")), max_size=12
    ),
    st.lists(st.tuples(st.sampled_from([*RULES, "edit"]), st.sampled_from(WHERE)), min_size=1, max_size=5),
    st.booleans(),
)
def test_steps_that_share_do_what_steps_alone_do(rows, plan, record):
    texts, langs, sources = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {
            "text": pa.array(texts, pa.large_string()),
            "lang": pa.array(langs, pa.string()),
            "source": pa.array(sources, pa.string()),
        }
    )
    named = steps(plan, record)
    assert results(named, table) == results(alone(named), table)


@pytest.mark.shared
@pytest.mark.parametrize("record", [False, True])
def test_real_texts_share_to_the_same_end(shared_data, record):
    records = []
    for path in sorted((shared_data / "text").glob("multilingual_*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            records += [json.loads(line) for line in lines][::30]
    table = pa.table({name: [record[name] for record in records] for name in ("text", "lang")})
    named = []
    for number, where in enumerate(({}, {"lang": ["en"]}, {"lang": ["en", "de"]})):
        for name in ("gopher_repetition", "gopher_quality", "c4", "fineweb"):
            rules = [[rule.signal, rule.min, rule.max] for rule in load_rule_set(RULE_SETS / f"{name}.yaml").rules]
            step = RowStep(f"{number}.{name}", "rules", {"rules": rules}, where)
            named.append(Named(step.name, build(step, record), False, True))
    assert results(named, table) == results(alone(named), table)


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("where", WHERE)
def test_a_condition_does_what_cutting_the_table_apart_does(record, where):
    """`_only_where`, which steps of other kinds go through, is the plain meaning of `where`."""
    rules = [Rule("word_count", min=2), Rule("char_count", max=30)]
    table = pa.table(
        {
            "text": pa.array(["one", "one two", None, "three words here", "x" * 40, ""], pa.large_string()),
            "lang": ["en", "en", "en", "zh", None, "de"],
            "source": ["a", "b", "a", "a", "b", "a"],
            "signal.word_count": [9.0, None, 9.0, 9.0, 9.0, None],
        }
    )
    step = RowStep("rules", "rules", {"rules": [["word_count", 2, None], ["char_count", None, 30]]}, where)
    plain = keep_rules(rules, record)
    expected, why = (_only_where(plain, where) if where else plain)(table)
    found, reasons = build(step, record)(table)
    assert (
        found.select(sorted(found.column_names)).to_pydict() == expected.select(sorted(found.column_names)).to_pydict()
    )
    assert reasons.to_pylist() == why.to_pylist()


def test_words_are_cut_once_for_steps_in_a_row(monkeypatch):
    from kernels import words

    sizes = []
    cut = words.cut_words
    monkeypatch.setattr(words, "cut_words", lambda starts, *rest: (sizes.append(len(starts)), cut(starts, *rest))[1])
    table = pa.table({"text": ["the mill of the miller", "a", "the end of it all", "and so on and so on"]})
    plan = [("words", {}), ("stops", {}), ("repetition", {})]
    list(apply(steps(plan, False), table))
    assert sizes == [4]
    list(apply(steps([*plan, ("edit", {}), ("words", {})], False), table))
    assert sizes[:2] == [4, 4] and len(sizes) == 3  # and once more for what the edit made


def test_views_hand_out_what_they_were_given():
    column = pa.array(["a b", "c", "d e f", "g"])
    views = Views(pa.table({"text": column}))
    texts = views.of(np.arange(4))
    counts = texts.once(in_words)["words"].tolist()
    views.put(np.arange(4), texts)
    part = views.take(np.array([0, 2, 3]))
    again = part.of(np.array([1, 2]))
    assert again._kept[in_words]["words"].tolist() == [counts[2], counts[3]]
    assert again.array.to_pylist() == ["d e f", "g"]
    few = Texts(column, np.array([3]))
    few.once(in_lines)
    views.put(np.array([3]), few)
    assert in_lines in views.of(np.array([3]))._kept
    assert in_lines not in views.of(np.array([2, 3]))._kept
    assert views.of(np.array([2, 3])).array.to_pylist() == ["d e f", "g"]
    assert part.take(np.array([], np.int64)).of(np.array([], np.int64)).array.to_pylist() == []


def test_a_step_that_raises_half_way_blames_the_row(monkeypatch):
    def fragile(texts):
        if any("bad" in text for text in texts.strings):
            raise ZeroDivisionError("bad")
        return texts.chars.astype(float)

    monkeypatch.setitem(
        filters.SIGNALS, "fragile", dataclasses.replace(filters.SIGNALS["char_count"], name="fragile", function=fragile)
    )
    table = pa.table({"text": ["good one here", "a bad one is this", "short", "the good of the one"]})
    named = [
        Named("1", build(RowStep("1", "rules", {"rules": RULES["words"]}), False), False, True),
        Named("2", build(RowStep("2", "rules", {"rules": [["fragile", 6, None]]}), False), False, True),
        Named("3", build(RowStep("3", "rules", {"rules": RULES["stops"]}), False), False, True),
    ]
    found = results(named, table)
    assert "error.ZeroDivisionError" in found
    assert found == results(alone(named), table)
