"""Benchmarks in the corpus: found whatever their case, spacing and punctuation; dropped or cut; counted; nothing blamed by chance."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from corpus import kept, manifest, rejected, sums
from cutting import cut as mill
from cutting import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.contamination import OWNERS, build_index, find, spans_of
from dedup.shingles import tokens
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook, outlook_text
from pipeline.commands.preview import preview
from pipeline.cutting import decontaminate as step_module
from pipeline.errors import InputError, RecipeError
from pipeline.progress import funnel

JANET = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends."
)
ROBE = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
MILL = "小明的磨坊每天磨三百公斤小麦，星期天休息，请问一个星期一共磨多少公斤？"
SHORT = "How many bolts does one robe take then?"  # 8 tokens
TINY = "#### 18"
PIECES = ["a ", "b ", "A ", "c. ", "磨", "坊", "。", "\n", "(", "e\u0301 ", "İ", "ΑΣ", "ς ", "—", "b", "  ", "हि"]
SOUP = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
ITEMS = st.lists(SOUP, min_size=1, max_size=6)


@st.composite
def items_and_texts(draw):
    """Items, and texts made of pieces and of the items themselves, whole or cut off."""
    items = draw(ITEMS)
    part = st.tuples(st.sampled_from(items), st.integers(0, 4)).map(lambda pair: pair[0][pair[1] :] + " ")
    texts = st.lists(st.one_of(part, part, SOUP), max_size=4).map("".join)
    return items, draw(st.lists(texts, max_size=5))


# -- the twin --------------------------------------------------------------------------------------


def runs_plainly(items, n, min_tokens):
    """For each item the runs it owns: (all it has that others have not sixteen times before), as tuples of tokens."""
    taken = Counter()
    owned = []
    for item in items:
        words = tokens(item)
        length = min(n, len(words))
        runs = set()
        if len(words) >= min(n, min_tokens):
            runs = {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}
        owned.append({run for run in runs if taken[run] < OWNERS})
        taken.update(runs)
    return owned


def find_plainly(texts, items, n, min_tokens, min_overlap):
    """{(row, item): overlap} and {row: tokens covered} as `find` is to give them."""
    owned = runs_plainly(items, n, min_tokens)
    pairs, covered = {}, {}
    for row, text in enumerate(texts):
        words = tokens(text)
        places = {}
        for length in {len(run) for runs in owned for run in runs}:
            for at in range(len(words) - length + 1):
                places.setdefault(tuple(words[at : at + length]), []).append(at)
        for item, runs in enumerate(owned):
            shared = [run for run in runs if run in places]
            least = min(min_overlap, len(runs)) if isinstance(min_overlap, int) else min_overlap * len(runs) - 1e-9
            if shared and len(shared) >= least:
                pairs[row, item] = len(shared)
                covered.setdefault(row, set()).update(
                    at + i for run in shared for at in places[run] for i in range(len(run))
                )
    return pairs, covered


def same_as_plain(texts, items, n, min_tokens, min_overlap):
    found = find(pa.array(texts, pa.large_string()), build_index(items, n, min_tokens), min_overlap)
    pairs, covered = find_plainly(texts, items, n, min_tokens, min_overlap)
    assert dict(zip(zip(found.rows.tolist(), found.items.tolist()), found.overlaps.tolist())) == pairs
    mine = {}
    for row, first, length in zip(found.run_rows.tolist(), found.firsts.tolist(), found.lengths.tolist()):
        mine.setdefault(row, set()).update(range(first, first + length))
    assert mine == covered
    assert list(zip(found.rows, found.items)) == sorted(pairs)
    return found


@settings(max_examples=150)
@given(
    items_and_texts(),
    st.integers(2, 4),
    st.integers(1, 4),
    st.sampled_from([1, 2, 5, 0.25, 0.5, 1.0]),
)
def test_the_kernel_is_its_twin(made, n, min_tokens, min_overlap):
    items, texts = made
    found = same_as_plain(texts, items, n, min_tokens, min_overlap)
    for row in np.unique(found.run_rows).tolist():  # and where the tokens stand in the bytes is where they stand
        here = found.run_rows == row
        text = texts[row].encode()
        spans = spans_of(text, found.firsts[here], found.lengths[here])
        inside = {at + i for at, length in zip(found.firsts[here], found.lengths[here]) for i in range(length)}
        left, at = b"", 0
        for start, end, stop in spans.tolist():
            assert end <= stop
            left, at = left + text[at:start] + b" ", end
        words = tokens(texts[row].replace("Σ", "ς"))  # whether a sigma is final hangs on what stands behind it
        stays = [word for at, word in enumerate(words) if at not in inside]
        assert tokens((left + text[at:]).decode().replace("Σ", "ς")) == stays


def test_columns_of_any_kind_and_nothing_to_find():
    index = build_index([JANET, ROBE], 13, 8)
    column = pa.chunked_array([pa.array([None, JANET]), pa.array([]).cast(pa.string()), pa.array(["", f"x {ROBE}"])])
    found = find(column, index, 1)
    assert found.rows.tolist() == [1, 3] and found.items.tolist() == [0, 1]
    assert len(find(column, build_index(["too short"], 13, 8), 1).rows) == 0
    assert len(find(pa.array([], pa.string()), index, 1).rows) == 0


def test_a_hash_alone_blames_nobody():
    """Equal hashes of unequal tokens, which chance gives to no test: here the tokens are changed under the hashes."""
    index = build_index([JANET, SHORT], 13, 8)
    column = pa.array([JANET, SHORT])
    assert find(column, index, 1).overlaps.tolist() == [len(tokens(JANET)) - 12, 1]
    changed = index.tokens.copy()
    changed[0] ^= np.uint64(1)  # of one run of JANET
    changed[-1] ^= np.uint64(1)  # of SHORT
    changed.flags.writeable = False
    found = find(column, dataclasses.replace(index, tokens=changed), 1)
    assert (found.rows.tolist(), found.overlaps.tolist()) == ([0], [len(tokens(JANET)) - 13])


def test_a_template_does_not_blame_a_hundred_thousand_times():
    template = "Answer the following question about the village mill as well as you can, please, in one word"
    items = [f"{template} {i}" for i in range(20_000)]
    found = find(pa.array([template] * 50), build_index(items, 13, 8), 1)
    assert set(found.items.tolist()) == set(range(OWNERS))
    own = find(pa.array([f"you can please in one word x {items[19_999]}"]), build_index(items, 13, 8), 1.0)
    assert 19_999 in own.items.tolist()  # its own run is its all


# -- real data -------------------------------------------------------------------------------------


def gsm8k(shared_data):
    lines = (shared_data / "sft" / "qa_gsm8k_test.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def real_texts(shared_data, files=4):
    found = []
    for number in range(files):
        with gzip.open(shared_data / "text" / f"multilingual_{number}.jsonl.gz") as lines:
            found += [json.loads(line)["text"] for line in lines]
    return found


def respaced(text):
    return text.replace(" ", "\n  ")


def without_punctuation(text):
    return "".join(c if c.isalnum() or c.isspace() else " - " for c in text)


def planted(text, item):
    middle = len(text) // 2
    return f"{text[:middle]}\n{item}\n{text[middle:]}"


@pytest.mark.shared
def test_planted_items_are_found_and_nothing_else(shared_data):
    """50 items of GSM8K in 50 of 11,492 real documents, each changed in one of five ways."""
    texts = real_texts(shared_data)
    items = [record["question"] for record in gsm8k(shared_data)]
    index = build_index([text for record in gsm8k(shared_data) for text in record.values()], 13, 8)
    ways = [str, str.upper, str.title, respaced, without_punctuation]
    where = random.Random(1).sample(range(len(texts)), 50)
    which = random.Random(2).sample(range(len(items)), 50)
    for i, (row, item) in enumerate(zip(where, which)):
        texts[row] = planted(texts[row], ways[i % 5](items[item]))
    assert len(texts) == 11_492
    found = find(pa.array(texts, pa.large_string()), index, 1)
    assert set(found.rows.tolist()) == set(where)
    assert set(zip(found.rows.tolist(), found.items.tolist())) >= {(r, 2 * i) for r, i in zip(where, which)}
    whole = find(pa.array(texts, pa.large_string()), index, 1.0)
    assert {(r, i) for r, i in zip(whole.rows.tolist(), whole.items.tolist())} == {
        (r, 2 * i) for r, i in zip(where, which)
    }


@pytest.mark.shared
def test_the_twin_on_real_text(shared_data):
    items = [*(record["question"] for record in gsm8k(shared_data)[:150]), SHORT, MILL]
    texts = real_texts(shared_data, 1)[:120]
    texts = [planted(text[:4000], items[i]) if i % 3 == 0 else text[:4000] for i, text in enumerate(texts)]
    assert len(same_as_plain(texts, [*items, texts[1][:500], texts[5][200:300]], 13, 8, 1).rows) >= 40


def typos(text, count, seed):
    """`count` different words with two neighbouring letters swapped, or one doubled."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) > 1]
    for at in random.Random(seed).sample(long, min(count, len(long))):
        word = words[at]
        words[at] = word[1] + word[0] + word[2:] if word[0].lower() != word[1].lower() else word + word[-1]
    return " ".join(words)


TYPOS = {1: 0.985, 2: 0.92, 3: 0.84, 5: 0.65}
"""Words mistyped in each question: the share of questions that must be found still. Measured: docs/recipes.md."""


@pytest.mark.shared
def test_how_many_typos_it_survives(shared_data):
    items = [record["question"] for record in gsm8k(shared_data)]
    index = build_index(items, 13, 8)
    shares = {}
    for count in TYPOS:
        found = find(pa.array([typos(item, count, i) for i, item in enumerate(items)], pa.large_string()), index, 1)
        shares[count] = len({r for r, i in zip(found.rows.tolist(), found.items.tolist()) if r == i}) / len(items)
    assert all(shares[count] >= least for count, least in TYPOS.items()), shares
    assert shares[1] > shares[2] > shares[3] > shares[5], shares


# -- the step --------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path):
    """A folder with two benchmark files."""
    folder = tmp_path / "bench"
    folder.mkdir()
    records = [{"question": JANET, "answer": TINY}, {"id": "r2", "question": ROBE, "answer": TINY}]
    (folder / "sums.jsonl").write_text("".join(json.dumps(r) + "\n\n" for r in records))
    (folder / "zh.json").write_text(
        json.dumps([{"question": MILL, "choices": ["二一〇〇", SHORT]}], ensure_ascii=False)
    )
    return folder


def documents(tmp_path):
    (tmp_path / "in").mkdir(exist_ok=True)
    body = "The mill by the river grinds slowly but fine. " * 3
    return [
        {"id": "clean", "text": body},
        {"id": "janet", "text": f"{body}\n\n{respaced(JANET.upper())}\n\n{body}"},
        {"id": "robe", "text": f"Exercise ({without_punctuation(ROBE)}) ends. {body}"},
        {"id": "mill", "text": f"前言。{MILL}后记。"},
        {"id": "part", "text": f"{body} {' '.join(ROBE.split()[3:17])} and so on"},
        {"id": "short", "text": f"{body} how many bolts does ONE robe take, then"},
        {"id": "tiny", "text": f"{body} {TINY}"},
    ]


def run_step(tmp_path, options, records=None, **more):
    records = records or documents(tmp_path)
    return mill(tmp_path, [{"decontaminate": options}], {"in0": records[:3], "in1": records[3:]}, **more)


def test_documents_with_items_go(tmp_path, bench):
    out = run_step(tmp_path, {"against": str(bench / "*"), "fields": ["question", "answer", "choices"]})
    assert {row["id"] for row in kept(out)} == {"clean", "tiny"}
    rows = {row["id"]: row for row in rejected(out)}
    assert {row["reason"] for row in rows.values()} == {"contaminated"}
    assert {row["step"] for row in rows.values()} == {"01.decontaminate"}
    assert {name: row["value"] for name, row in rows.items()} == {
        "janet": len(tokens(JANET)) - 12, "robe": len(tokens(ROBE)) - 12, "mill": len(tokens(MILL)) - 12, "part": 2, "short": 1,
    }  # fmt: skip
    assert rows["janet"]["threshold"] == 1
    sums_, zh = str(bench / "sums.jsonl"), str(bench / "zh.json")
    assert rows["janet"]["detail"] == f'{sums_}, record 1, question: "{JANET.upper()[:100]}"'
    assert rows["robe"]["detail"].startswith(f'{sums_}, record 2 (id r2), question: "A robe takes 2 bolts')
    assert rows["mill"]["detail"] == f'{zh}, record 1, question: "{MILL[:-1]}"'
    assert rows["short"]["detail"] == f'{zh}, record 1, choices: "how many bolts does ONE robe take, then"'
    told = manifest(out)["decontamination"]["01.decontaminate"]
    assert told == {
        sums_: {"items": 4, "too_short": 2, "items_hit": 2, "documents": 3},
        zh: {"items": 3, "too_short": 1, "items_hit": 2, "documents": 2},
    }
    line = f"01.decontaminate found 2 of 4 items of {sums_} in 3 documents (2 too short to be looked for)"
    assert line in funnel(manifest(out))
    assert f"| 01.decontaminate | {sums_} | 4 | 2 | 2 | 3 |" in (out / "README.md").read_text("utf-8")
    assert all(finding.ok for finding in check(str(out)))
    assert "out: contaminated, value 1, threshold 1, " in explain(str(out), "short")


@pytest.mark.parametrize(("least", "gone"), [(2, True), (3, False), (0.2, True), (0.3, False), (1.0, False)])
def test_how_much_is_too_much(least, gone, tmp_path, bench):
    """'part' has 2 of the 9 n-grams of ROBE; an item with fewer n-grams than asked for has to be there whole."""
    out = run_step(tmp_path, {"against": [str(bench)], "min_overlap": least, "fields": ["question", "choices"]})
    ids = {row["id"]: row for row in rejected(out)}
    assert ("part" in ids) is gone and {"janet", "robe", "mill", "short"} <= ids.keys()
    assert ids["janet"]["value"] == (len(tokens(JANET)) - 12 if isinstance(least, int) else 1.0)
    assert ids["janet"]["threshold"] == least


def test_passages_are_cut(tmp_path, bench):
    records = documents(tmp_path)
    out = run_step(tmp_path, {"against": str(bench), "fields": ["question", "choices"], "do": "cut"}, records)
    texts = {row["id"]: row["text"] for row in kept(out)}
    body = records[0]["text"]
    assert texts == {
        "clean": body,
        "janet": f"{body}\n\n{body}",
        "robe": f"Exercise (- ) ends. {body}",
        "mill": "前言。后记。",
        "part": f"{body} and so on",
        "short": f"{body} ",
        "tiny": records[-1]["text"],
    }
    assert manifest(out)["edited"] == {"01.decontaminate": 5} and not rejected(out)
    assert sum(found["documents"] for found in manifest(out)["decontamination"]["01.decontaminate"].values()) == 5
    assert "text changed" in explain(str(out), "part")


def test_margins_are_cut_too(tmp_path, bench):
    text = f"磨坊主说：{MILL}答案是二千一百公斤。{MILL}完"
    out = run_step(tmp_path, {"against": str(bench / "zh.json"), "do": "cut", "margin": 3}, [{"id": "a", "text": text}])
    assert [row["text"] for row in kept(out)] == ["磨坊二千一百"]
    out = mill(tmp_path, [{"decontaminate": {"against": str(bench), "do": "cut", "margin": 500}}], out="two")
    assert not kept(out) and [row["reason"] for row in rejected(out)] == ["empty_text"]  # nothing left of it
    assert manifest(out)["decontamination"]["01.decontaminate"][str(bench / "zh.json")]["documents"] == 1


def test_where_and_an_item_in_two_files(tmp_path, bench):
    (bench / "again.jsonl").write_text(json.dumps({"prompt": f"Q: {JANET}"}) + "\n")
    records = [{"id": str(i), "text": JANET, "source": f"s{i}"} for i in range(3)]
    step = {"decontaminate": {"against": str(bench)}, "where": {"source": ["s0", "s2"]}}
    out = mill(tmp_path, [step], {"in": records})
    assert [row["id"] for row in kept(out)] == ["1"] and {row["id"] for row in rejected(out)} == {"0", "2"}
    told = manifest(out)["decontamination"]["01.decontaminate"]
    assert {name.rsplit("/", 1)[1]: found["documents"] for name, found in told.items()} == {
        "again.jsonl": 2, "sums.jsonl": 2, "zh.json": 0,
    }  # fmt: skip


@pytest.mark.parametrize("do", ["drop", "cut"])
def test_the_same_bytes_for_any_batch(do, tmp_path, bench):
    records = documents(tmp_path) * 4
    records = [{**record, "id": f"{record['id']}{i}"} for i, record in enumerate(records)]
    options = {"against": str(bench), "do": do}
    found = [sums(run_step(tmp_path, options, records, batch=batch, out=f"out{batch}")) for batch in (1, 5, 1000)]
    assert found[0] == found[1] == found[2]


def test_formats_give_the_same_items(tmp_path):
    records = [{"id": i, "question": q, "data": {"turns": [{"say": "x y"}, {"say": q[5:]}]}} for i, q in enumerate((JANET, ROBE, MILL))]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    made = {
        "a.jsonl": lines,
        "b.jsonl.gz": gzip.compress(lines),
        "c.jsonl.zst": zstandard.compress(lines),
        "d.json": json.dumps(records, indent=1).encode(),
        "e.json": json.dumps({"version": 1, "data": records}).encode(),
        "f.json": lines,
        "g.jsonl": b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n\r\n"),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "h.parquet")
    found = []
    for name in (*made, "h.parquet"):
        options = {
            "against": [str(tmp_path / name)],
            "fields": ["question", "data.turns.say"],
            "ngram": 13,
            "min_tokens": 8,
        }
        (file,) = step_module.benchmark_files(options)
        loaded = step_module.load(
            ((file["path"], file["name"], file["sha256"]),), ("question", "data.turns.say"), 13, 8
        )
        assert (file["items"], file["too_short"]) == (9, 3)
        found.append((loaded.names, loaded.index.hashes.tolist()))
    assert all(each == found[0] for each in found)
    assert found[0][0][:3] == [(0, 1, "question", 0), (0, 1, "data.turns.say", 0), (0, 1, "data.turns.say", 0)]


def test_the_files_are_part_of_what_a_run_is(tmp_path, bench):
    options = {"against": str(bench / "sums.jsonl")}
    run_step(tmp_path, options)
    job, _ = job_of(tmp_path, [{"decontaminate": options}])
    assert f"{bench / 'sums.jsonl'} (2 items)" in outlook_text(outlook(job))
    report, _ = preview(job, 100)
    assert "01.decontaminate  contaminated" in report and ", record 1, question: " in report
    with open(bench / "sums.jsonl", "a") as file:
        file.write(json.dumps({"question": MILL}) + "\n")
    with pytest.raises(RecipeError, match="sha256"):
        run_step(tmp_path, options)
    step_module.load.cache_clear()
    with pytest.raises(InputError, match=r"sums\.jsonl: this benchmark file changed"):  # a worker that comes later
        step_module.decontaminate("01.decontaminate", **job.refine["steps"][0]["options"])


LETTERS = [
    ({}, r"r.yaml:\d+: the key 'steps.0.decontaminate.against' is missing"),
    ({"against": []}, "'against' names no file"),
    ({"against": "BENCH/sum.jsonl"}, r"r.yaml:\d+: .*BENCH/sum.jsonl: no such file or folder.*sums.jsonl"),
    ({"against": "BENCH/*.parquet"}, r"BENCH/\*.parquet"),
    ({"against": "BENCH", "field": ["x"]}, "unknown key 'steps.0.decontaminate.field', did you mean 'fields'"),
    ({"against": "BENCH/zh.json", "fields": ["qestion"]}, r"zh.json: no text in qestion, did you mean 'question'\? \(its records have: question, choices\)"),
    ({"against": "BENCH", "fields": ["question", "choices", "anser"]}, r"no text in anser, did you mean 'answer'"),
    ({"against": "BENCH/odd.jsonl"}, r"odd.jsonl: none of the usual fields .* \(its records have: q, a\)"),
    ({"against": "BENCH/sums.jsonl", "fields": "answer"}, r"none of its 2 items has min_tokens \(8\) tokens"),
    ({"against": "BENCH/torn.jsonl"}, "torn.jsonl, line 2: this is not JSON"),
    ({"against": "BENCH/list.jsonl"}, "list.jsonl, line 2: expected an object .* got str"),
    ({"against": "BENCH/list.json"}, "list.json, record 2: expected an object .* got list"),
    ({"against": "BENCH/torn.json"}, "torn.json: this is not JSON"),
    ({"against": "BENCH/cut.jsonl.gz"}, "cut.jsonl.gz: the file is cut or damaged"),
    ({"against": "BENCH/no.parquet"}, "no.parquet: this is no Parquet file"),
    ({"against": "BENCH/empty.jsonl"}, "empty.jsonl: none of the usual fields .*there is no record in it"),
    ({"against": "BENCH/zh.json", "min_overlap": 0}, "min_overlap is a number of n-grams .* not 0"),
    ({"against": "BENCH/zh.json", "min_overlap": 1.5}, "min_overlap is a number of n-grams .* not 1.5"),
    ({"against": "BENCH/zh.json", "ngram": 1}, "ngram is 1; expected 2 or more"),
    ({"against": "BENCH/zh.json", "margin": 5}, "margin is for 'do: cut'"),
    ({"against": "BENCH/zh.json", "do": "mask"}, "'steps.0.decontaminate.do' is 'mask'; expected 'drop' or 'cut'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "letter"), LETTERS, ids=[letter[:40] for _, letter in LETTERS])
def test_letters(options, letter, tmp_path, bench):
    line = json.dumps({"question": JANET}) + "\n"
    (bench / "odd.jsonl").write_text(json.dumps({"q": JANET, "a": 1}) + "\n")
    (bench / "torn.jsonl").write_text(f'{line}{{"question": "half\n')
    (bench / "list.jsonl").write_text(f'{line}"text"\n')
    (bench / "list.json").write_text(f"[{line}, [{line}]]")
    (bench / "torn.json").write_text(f"[{line}, [{line}")
    (bench / "cut.jsonl.gz").write_bytes(gzip.compress(line.encode() * 50)[:-20])
    (bench / "no.parquet").write_bytes(b"PAR1")
    (bench / "empty.jsonl").write_text("")
    if options.get("against") == "BENCH":
        for name in (
            "odd.jsonl",
            "torn.jsonl",
            "list.jsonl",
            "list.json",
            "torn.json",
            "cut.jsonl.gz",
            "no.parquet",
            "empty.jsonl",
        ):
            (bench / name).unlink()
    if options.get("against") == "BENCH/*.parquet":
        (bench / "no.parquet").unlink()
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    if "against" in options:
        given = options["against"]
        options = {**options, "against": given.replace("BENCH", str(bench)) if given else given}
    with pytest.raises(RecipeError, match=letter.replace("BENCH", str(bench))):
        job_of(tmp_path, [{"decontaminate": options}])


def test_it_stands_before_dedup(tmp_path, bench):
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(RecipeError, match="'decontaminate' stands after dedup"):
        job_of(tmp_path, [{"dedup": {"exact": {}}}, {"decontaminate": {"against": str(bench)}}])
