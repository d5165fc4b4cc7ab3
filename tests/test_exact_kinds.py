"""Exact kinds: by URL, column and metadata field, beside texts: end to end, and against brute force."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected
from hypothesis import given, settings
from hypothesis import strategies as st
from test_near import words

from dedup.exact import normalise, record_keys
from dedup.keyed import keyed_survivors
from dedup.keys import key_hashes, key_pairs
from dedup.shingles import shingle_set
from dedup.similarity import jaccard
from dedup.survivors import survivors
from dedup.urls import canonical_url
from pipeline.commands.check import check
from pipeline.engines.local import LocalEngine
from pipeline.errors import RecipeError, RunError
from pipeline.job import resolve as resolve_job
from pipeline.progress import Silent
from pipeline.recipes.recipe import read
from pipeline.run import run

PAGE = """
input: {{paths: '{path}'}}
steps:
{steps}
output: {{path: '{out}', split: {split}}}
run: {{engine: local, max_source_loss: 1}}
"""


def dedup(records, folder, *steps, split="{train: 1}"):
    folder.mkdir(exist_ok=True)
    path, out = folder / "in.jsonl", folder / "out"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    lines = "\n".join(f"  - dedup: {step}" for step in steps)
    recipe, source = read(PAGE.format(path=path, out=out, steps=lines, split=split), "r.yaml")
    run(resolve_job(recipe, source), recipe.run, LocalEngine(), Silent())
    findings = check(str(out))
    assert all(finding.ok for finding in findings), findings
    return out


# --- URLs

URLS = {
    # RFC 3986, 6.2.2 and 6.2.3
    "HTTP://www.EXAMPLE.com/": "example.com",
    "http://example.com": "example.com",
    "http://example.com:80/": "example.com",
    "https://example.com:443/a": "example.com/a",
    "https://example.com:8443/a": "example.com:8443/a",
    "http://example.com:/a": "example.com/a",
    "http://example.com/%7Euser/%e4%b8%ad": "example.com/~user/%E4%B8%AD",
    "http://example.com/中": "example.com/%E4%B8%AD",
    "http://example.com/a/./b/../c": "example.com/a/c",
    "http://example.com/../../a": "example.com/a",
    "http://example.com/a/..": "example.com",
    "http://example.com/a%2Fb": "example.com/a%2Fb",
    "http://example.com/A": "example.com/A",
    # practice
    "https://www.example.com/a/#part": "example.com/a",
    "https://example.com/#!/page": "example.com#!/page",
    "https://example.com/a?utm_source=x&UTM_Medium=y&gclid=1&fbclid=2": "example.com/a",
    "https://example.com/a?b=2&a=1&a=0&c": "example.com/a?a=0&a=1&b=2&c",
    "https://example.com/a?": "example.com/a",
    "https://example.com/a?q=a%20b": "example.com/a?q=a%20b",
    "https://example.com/a?q=a b": "example.com/a?q=a%20b",
    "https://example.com./a": "example.com/a",
    "https://bücher.example/": "xn--bcher-kva.example",
    "https://me:secret@example.com/": "me:secret@example.com",
    "http://[2001:DB8::1]:80/x": "[2001:db8::1]/x",
    "http://[2001:db8::1]/x": "[2001:db8::1]/x",
    "ftp://example.com/a": "ftp://example.com/a",
    "//example.com/a": "example.com/a",
    # no page of a host
    "  urn:isbn:123 ": "urn:isbn:123",
    "folder/file.html": "folder/file.html",
    "http://[broken/": "http://[broken/",
    "   ": None,
}


@pytest.mark.parametrize(("url", "expected"), URLS.items(), ids=map(repr, URLS))
def test_canonical_urls(url, expected):
    assert canonical_url(url) == expected


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("htps:/w.exam?&=#%2eE7~中 u_tm@[]0"), max_size=30))
def test_a_canonical_url_is_its_own(url):
    once = canonical_url("http://e.com/" + url)
    assert once is not None and canonical_url("http://" + once) == once


def test_null_and_empty_are_no_key():
    table = pa.table(
        {"url": ["http://a.b/", None, "", "a.b"], "metadata": ['{"x": {"y": 1}}', '{"x": 2}', None, '{"x": {"y": ""}}']}
    )
    hashes, has = key_hashes(table, ["url"], True)
    assert has.tolist() == [True, False, False, True] and np.array_equal(hashes[0], hashes[3])
    assert key_hashes(table, ["metadata.x.y"], False)[1].tolist() == [True, False, False, False]
    assert key_hashes(table, ["url", "metadata.x.y"], False)[1].tolist() == [True, False, False, False]


def test_values_of_a_list_are_told_apart():
    table = pa.table({"url": ["ab", "a"], "id": ["c", "bc"]})
    hashes, _ = key_hashes(table, ["url", "id"], False)
    assert not np.array_equal(hashes[0], hashes[1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=25), st.integers(2, 6), st.randoms())
def test_key_pairs_are_those_of_brute_force(keys, cap, chance):
    docs = list(range(len(keys)))
    chance.shuffle(docs)
    place = {doc: -doc for doc in docs}  # the policy likes high numbers
    groups = {}
    for doc, key in zip(docs, keys):
        groups.setdefault(key, []).append(doc)
    expected, left_out = set(), 0
    for group in groups.values():
        first = sorted(group, key=place.get)[:cap] if len(group) > cap else group
        for pair in combinations(sorted(group), 2):
            if set(pair) & set(first):
                expected.add(pair)
            else:
                left_out += 1
    columns = [np.array([key[i] for key in keys], np.uint64) for i in (0, 1)]
    ranks = lambda members: np.argsort(np.argsort([place[d] for d in members.tolist()]))  # noqa: E731
    pairs, count = key_pairs(*columns, np.array(docs, np.uint64), ranks, cap)
    assert sorted(map(tuple, pairs.tolist())) == sorted(expected) and count == left_out


# --- who stays


def plain_keyed(order, edges, twins, keys):
    """One document after another, over sets."""
    n = len(order)
    text = list(range(n))
    for a, b in twins:
        old, new = text[b], text[a]
        text = [new if t == old else t for t in text]
    similar = {frozenset((text[a], text[b])) for a, b in edges if text[a] != text[b]}
    equal = {frozenset(pair) for pair in keys}
    alive = []
    for doc in sorted(range(n), key=lambda d: order[d]):
        clash = any(
            text[doc] == text[other]
            or frozenset((doc, other)) in equal
            or frozenset((text[doc], text[other])) in similar
            for other in alive
        )
        if not clash:
            alive.append(doc)
    return sorted(alive)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 12), st.data())
def test_survivors_with_keys(n, data):
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1])
    draw = lambda most: data.draw(st.lists(pair, max_size=most if n > 1 else 0))  # noqa: E731
    edges, twins, keys = draw(8), draw(5), draw(8)
    order = np.array(data.draw(st.permutations(range(n))))
    kinds = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(keys), max_size=len(keys))), np.uint8)
    weights = np.linspace(0.8, 1, len(edges))
    verdict = keyed_survivors(order, edges, weights, twins, keys, kinds)
    assert np.flatnonzero(verdict.kept).tolist() == plain_keyed(order, edges, twins, keys)
    for doc in np.flatnonzero(~verdict.kept).tolist():
        keeper = int(verdict.duplicate_of[doc])
        assert verdict.kept[keeper]
        if verdict.kind[doc]:
            found = {int(k) for k, p in zip(kinds, keys) if set(p) == {doc, keeper}}
            assert min(found) == verdict.kind[doc] and np.isnan(verdict.similarity[doc]) and not verdict.twin[doc]
        else:
            assert verdict.similarity[doc] >= 0.8
    if not keys:
        same = survivors(order, edges, weights, twins)
        for name in ("kept", "duplicate_of", "similarity", "twin", "cluster", "kind"):
            assert np.array_equal(getattr(same, name), getattr(verdict, name), equal_nan=name == "similarity")


# --- end to end


def test_the_guard_tells_of_keys(tmp_path, monkeypatch):
    """Nearly all documents of a source have one URL: the run stops and says why."""
    rng = np.random.default_rng(5)
    records = [{"id": f"{i}", "text": rng_text(rng), "url": "http://one.org/"} for i in range(150)]
    monkeypatch.setitem(globals(), "PAGE", PAGE.replace(", max_source_loss: 1", ""))
    with pytest.raises(RunError, match="149 removed, 149 by a key, like"):
        dedup(records, tmp_path / "x", "{exact: {by: url}}")


def rng_text(rng, count=60):
    return " ".join(words(rng, count))


def test_by_url_and_by_text(tmp_path):
    rng = np.random.default_rng(1)
    text = rng_text(rng)
    records = [
        {"id": "a", "text": text + " and more", "url": "http://www.site.org/x/?utm_source=mail"},
        {"id": "b", "text": rng_text(rng, 50), "url": "https://site.org/x#top"},
        {"id": "c", "text": text.upper() + " And  More", "url": "https://site.org/y"},
        {"id": "d", "text": rng_text(rng, 40), "url": "https://site.org/y/"},
        {"id": "e", "text": rng_text(rng), "url": None},
        {"id": "f", "text": rng_text(rng), "url": ""},
    ]
    out = dedup(records, tmp_path / "both", "{exact: {by: url}}", "{exact: {keep: longest}}")
    gone = {row["id"]: (row["step"], row["reason"], row["duplicate_of"], row["similarity"]) for row in rejected(out)}
    a, c = ("a", "c") if "c" in gone else ("c", "a")
    assert gone[c] == ("02.dedup.exact", "exact_duplicate", a, 1.0)
    # of the two URLs the one of the kept text has lost the other document, the other has not: nobody kept has it
    other, free = ("b", "d") if a == "a" else ("d", "b")
    assert gone[other] == ("01.dedup.exact.url", "same_url", a, None)
    assert free not in gone and {"e", "f"}.isdisjoint(gone) and len(gone) == 2
    only_url = dedup(records, tmp_path / "url", "{exact: {by: url}}")
    assert sorted(row["id"] for row in kept(only_url)) == ["a", "c", "e", "f"], "equal texts are none of its business"
    assert manifest(only_url)["steps"] == ["01.dedup.exact.url"]


@pytest.mark.parametrize(
    ("by", "alive", "reason"),
    [
        ("metadata.isbn", ["1", "3", "5", "6"], "same_metadata.isbn"),
        ("[source, metadata.isbn]", ["1", "2", "3", "5", "6"], "same_source_metadata.isbn"),
        ("{by: metadata.isbn, normalize: true}", ["1", "5", "6"], "same_metadata.isbn"),
        ("source", ["1", "2"], "same_source"),
        ("{by: text, normalize: false}", ["1", "2", "3", "4", "6"], "exact_duplicate"),
    ],
)
def test_by_other_columns(tmp_path, by, alive, reason):
    rng = np.random.default_rng(2)
    rows = [("1", "s", "X"), ("2", "t", "X"), ("3", "s", "x "), ("4", "s", "X"), ("5", "s", None), ("6", "s", "")]
    records = [
        {"id": id, "text": rng_text(rng, 60 - int(id)), "source": source, "isbn": isbn} for id, source, isbn in rows
    ]
    records[4]["text"] = records[3]["text"]
    records[5]["text"] = records[3]["text"].upper()
    records[3]["date"] = "2024-01-01"
    body = by if by.startswith("{") else f"{{by: {by}}}"
    body = body.replace("}", ", keep: [newest, longest]}") if "text" in by else body
    out = dedup(records, tmp_path / "x", f"{{exact: {body}}}", split="{train: 0.5, test: 0.5}")
    assert sorted(row["id"] for row in kept(out)) == alive
    assert {row["reason"] for row in rejected(out)} == {reason}


def test_a_large_group_of_one_url(tmp_path):
    """300 versions of one page: one stays, though no pair of texts is alike."""
    rng = np.random.default_rng(3)
    records = [
        {
            "id": f"{i}",
            "text": rng_text(rng, 20),
            "url": "http://one.org/",
            "date": f"2024-{i // 28 + 1:02d}-{i % 28 + 1:02d}",
        }
        for i in range(300)
    ]
    out = dedup(records, tmp_path / "x", "{exact: {by: url, keep: newest}}")
    assert [row["id"] for row in kept(out)] == ["299"]
    assert {row["duplicate_of"] for row in rejected(out)} == {"299"}
    assert manifest(out)["dedup"]["pairs_left_uncompared"] == 236 * 235 // 2


def test_all_three_at_once_against_brute_force(tmp_path):
    """Texts, near texts and URLs mixed at random: who stays is the first independent set over all of it."""
    rng = np.random.default_rng(4)
    base = [words(rng, 120) for _ in range(25)]
    records = []
    for i in range(220):
        text = list(base[int(rng.integers(25))])
        for place in rng.choice(120, int(rng.integers(0, 4)), replace=False):
            text[place] = f"y{rng.integers(3)}"
        records.append(
            {
                "id": f"{i:03d}",
                "text": " ".join(text + ["end"] * int(rng.integers(0, 3))),
                "url": f"http://x.org/{rng.integers(60)}",
            }
        )
    out = dedup(
        records,
        tmp_path / "x",
        "{exact: {by: url}}",
        "{exact: {}}",
        "{minhash: {threshold: 0.8, recall: 0.9999}}",
        split="{train: 0.7, test: 0.3}",
    )
    source = kept(out)[0]["source"]
    keys = record_keys(pa.array([source] * 220), pa.array([r["id"] for r in records]))
    sets = [shingle_set(r["text"]) for r in records]
    alive = []
    for i in sorted(range(220), key=lambda i: (-len(records[i]["text"]), tuple(keys[i]))):
        if not any(
            records[i]["url"] == records[j]["url"]
            or normalise(records[i]["text"]) == normalise(records[j]["text"])
            or jaccard(sets[i], sets[j]) >= 0.8
            for j in alive
        ):
            alive.append(i)
    assert sorted(row["id"] for row in kept(out)) == sorted(records[i]["id"] for i in alive)
    assert {row["reason"] for row in rejected(out)} == {"same_url", "exact_duplicate", "near_duplicate"}


@pytest.mark.parametrize(
    ("steps", "letter"),
    [
        (["{exact: {by: ulr}}"], "got 'ulr', did you mean 'url'?"),
        (["{exact: {by: metadata.}}"], "metadata.FIELD"),
        (["{exact: {by: []}}"], "at least one"),
        (["{exact: {by: [url, url]}}"], "each column once"),
        (["{exact: {by: url}}", "{exact: {by: url, normalize: false}}"], "dedup exact.url stands twice"),
        (["{exact: {by: url, keep: newest}}", "{exact: {keep: longest}}"], "Give keep once"),
        (["{exact: {by: url, normalise: true}}"], "did you mean 'normalize'?"),
    ],
)
def test_letters(tmp_path, steps, letter):
    with pytest.raises(RecipeError) as error:
        dedup([{"text": "a"}], tmp_path / "x", *steps)
    assert letter in str(error.value) and "r.yaml" in str(error.value)
