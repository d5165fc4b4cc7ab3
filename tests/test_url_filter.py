"""URLs against lists and words: what is met, by whom, and that kernels say what plain Python says."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected, sums
from cutting import cut as mill
from cutting import job_of
from hypothesis import given
from hypothesis import strategies as st

from dedup.urls import canonical_url, canonical_urls
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.commands.outlook import outlook, outlook_text
from pipeline.errors import InputError
from pipeline.progress import funnel
from pipeline.refining import url_lists
from pipeline.refining.urls import UrlFilter, resolved, url_filter

PIECES = [
    "http://", "HTTPS://", "https:/", "www.", "WWW.", "a", "B.c", "example.com", ".", "..", "/", "//", "/./",
    "?a=1", "&utm_id=x", "#", "#!", "%7e", "%", "é", " ", ":80", "@", "[", "]", "-", "中", "a.b", "/x",
]  # fmt: skip
URLS = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
WEB = st.one_of(URLS, URLS.map("http://".__add__), st.none())


@given(st.lists(WEB, max_size=20))
def test_columns_have_the_canonical_form_of_each_url(urls):
    expected = [canonical_url(url) if url else None for url in urls]
    assert canonical_urls(pa.array(urls, pa.string())).to_pylist() == expected


def test_a_column_in_chunks_and_slices():
    whole = pa.chunked_array([["http://A.b/", None], [], ["http://c.d?b=1&a=2", "x"]])
    assert canonical_urls(whole).to_pylist() == ["a.b", None, "c.d?a=2&b=1", "x"]
    assert canonical_urls(whole.slice(1, 2)).to_pylist() == [None, "c.d?a=2&b=1"]


# -- the twin --------------------------------------------------------------------------------------

NAMES = [
    "com",
    "a.com",
    "b.a.com",
    "uk",
    "co.uk",
    "x.co.uk",
    "github.io",
    "me.github.io",
    "ck",
    "foo.ck",
    "1.2.3.4",
    "3.4",
]
PATHS = ["", "/", "/p", "/p/", "/p/q", "/p/q.html", "/pq", "?x=1", "/p?x=1", "/%7Eme", "/p#!/s"]
SUFFIXES = {"uk", "com", "ck", "co.uk", "github.io", "foo.ck", "4", "io"}
ADDRESSES = st.tuples(st.sampled_from(NAMES), st.sampled_from(PATHS)).map("".join)


def meets(entry: str, url: str) -> bool:
    """Whether a list's entry meets a URL, by the words of docs/values.md."""
    form, address = canonical_url("http://" + entry), canonical_url(url)
    if re.search("[/?#]", form):
        return address == form or any(address.startswith(form + sign) for sign in "/?#")
    host = re.split("[/?#:]", address)[0]
    return host == form or (host.endswith("." + form) and form not in SUFFIXES and not host.replace(".", "").isdigit())


@given(st.lists(ADDRESSES, min_size=1, max_size=6), st.lists(ADDRESSES, min_size=1, max_size=6))
def test_lists_meet_what_the_words_say(tmp_path_factory, entries, addresses):
    folder = tmp_path_factory.mktemp("lists")
    entries = [entry for entry in entries if "." in re.split("[/?#]", entry)[0]] or ["never.example"]
    (folder / "one.txt").write_text("\n".join(entries))
    step = url_filter(**resolved(UrlFilter(blocklists=[str(folder / "one.txt")])))
    urls = [f"http://{address}" for address in addresses]
    out = [why is not None for why in step(pa.table({"url": urls}))[1].to_pylist()]
    assert out == [any(meets(entry, url) for entry in entries) for url in urls]


def test_public_suffixes_of_the_snapshot():
    names = [
        "com",
        "co.uk",
        "example.com",
        "github.io",
        "me.github.io",
        "foo.ck",
        "a.foo.ck",
        "www.ck",
        "xn--55qx5d.cn",
    ]
    forms, parents = url_lists.form_hashes(names), url_lists._parents(names)
    found = dict(zip(names, url_lists.is_suffix(forms, parents).tolist()))
    assert [name for name, suffix in found.items() if suffix] == [
        "com",
        "co.uk",
        "github.io",
        "foo.ck",
        "xn--55qx5d.cn",
    ]


# -- formats of lists ------------------------------------------------------------------------------

LISTS = [
    ("domains", "ads.example.com\nB.org\n\n# comment\n! comment\n", ["ads.example.com", "b.org"], 0),
    ("urls", "a.com/x/\nhttp://www.b.com/Y\nb.com/q?b=2&a=1&utm_id=3\n", ["a.com/x", "b.com/Y", "b.com/q?a=1&b=2"], 0),
    ("hosts", "127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\n0.0.0.0 a.com b.com # c.com\r\n0.0.0.0\td.com\n",
     ["a.com", "b.com", "d.com"], 0),
    ("others.txt", "*.a.com\n.b.com\nc.com.\nd.com:81\nmünchen.de\n1.2.3.4\nhttps://www.e.com\n",
     ["a.com", "b.com", "c.com", "d.com:81", "xn--mnchen-3ya.de", "1.2.3.4", "e.com"], 0),
    ("easylist.txt", "[Adblock Plus 2.0]\n! title\n||ads.com^\n@@||good.com^\nexample.com##.ad\n/banner/*\n1,a.com\na.com b.com\nword\nreal.com\n",
     ["real.com"], 7),
]  # fmt: skip


@pytest.mark.parametrize("name, text, entries, skipped", LISTS, ids=[case[0] for case in LISTS])
@pytest.mark.parametrize("compressed", [False, True])
def test_formats(tmp_path, monkeypatch, name, text, entries, skipped, compressed):
    path = tmp_path / (name + (".gz" if compressed else ""))
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    for chunk in (1 << 20, 7):  # however the text is cut
        monkeypatch.setattr(url_lists, "CHUNK", chunk)
        found = url_lists.load.__wrapped__(((str(path), name, None),))
        assert found.entries.hashes.tolist() == sorted(url_lists.form_hashes(entries).tolist())
        assert (found.files[0]["entries"], found.files[0]["skipped"]) == (len(entries), skipped)
    if skipped:
        assert found.files[0]["example"] == "line 3: ||ads.com^"


def test_a_list_is_named_by_its_category():
    names = ["lists/adult/domains.gz", "lists/adult/urls", "hosts.txt", "phishing.list.zst", "domains"]
    assert list(map(url_lists.list_name, names)) == ["adult", "adult", "hosts", "phishing.list", "domains"]


def test_a_million_entries_take_15_bytes_each_at_most():
    hashes = np.unique(np.random.default_rng(1).integers(0, 2**63, 1_000_000, dtype=np.uint64))
    found = url_lists.merged([hashes], [np.zeros(len(hashes), np.uint16)])
    assert sum(array.nbytes for array in found) <= 15 * len(hashes)


# -- words -----------------------------------------------------------------------------------------

LETTERS = st.lists(
    st.sampled_from(["bet", "Free", "-", "/", "_", ".", "cam", "xvid", "x", "vid", "%20", "5", "中"]), max_size=10
)


@given(LETTERS.map("".join))
def test_words_are_those_of_the_twin(tail):
    url = "http://host.example/" + tail
    words = {"strict": ["xvid"], "hard": ["bet5", "camfree"], "soft": ["bet", "free", "cam"]}
    step = url_filter(**resolved(UrlFilter.model_validate({"words": words})))
    plain = re.sub("%..", " ", canonical_url(url))
    tokens = set(re.split("[^a-z0-9]+", plain.lower()))
    expected = None
    if len(tokens & set(words["soft"])) >= 2:
        expected = "word.soft"
    if tokens & set(words["hard"]):
        expected = "word.hard"
    if "xvid" in re.sub("[^a-z0-9]", "", plain.lower()):
        expected = "word.strict"
    why = step(pa.table({"url": [url]}))[1].to_pylist()[0]
    assert (why and why["reason"]) == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_agrees_with_datatrove_on_words_and_registered_domains():
    """On URLs without escapes and in lower case; datatrove asks for whole URLs and does not look at case."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from tldextract import TLDExtract

    words = {"strict": ["xvid"], "hard": ["porn", "casino"], "soft": ["free", "bet", "cam", "sex"]}
    domains = ["bad.com", "worse.co.uk", "blog.bad2.org"]
    theirs = URLFilter(
        extra_domains=domains, banned_words=words["hard"], banned_subwords=words["strict"],
        soft_banned_words=words["soft"], use_integrated_lists=False,
    )  # fmt: skip
    theirs.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    step = url_filter(**resolved(UrlFilter.model_validate({"domains": {"out": domains}, "words": words})))
    rng = np.random.default_rng(3)
    hosts = [
        "bad.com",
        "a.bad.com",
        "a.b.bad.com",
        "notbad.com",
        "worse.co.uk",
        "x.worse.co.uk",
        "blog.bad2.org",
        "bad2.org",
        "ok.net",
    ]
    parts = ["free", "bet", "cam", "sex", "porn", "pornography", "x-vid", "index", "2024", "casino", "freebet"]
    urls = [f"http://{rng.choice(hosts)}/{'-'.join(rng.choice(parts, rng.integers(0, 4)))}" for _ in range(400)]
    ours = [why is None for why in step(pa.table({"url": urls}))[1].to_pylist()]
    assert ours == [theirs.filter(Document("t", str(n), metadata={"url": url})) is True for n, url in enumerate(urls)]
    assert 50 < sum(ours) < 350


# -- in a run --------------------------------------------------------------------------------------

PAGES = {
    "http://www.sex.example.com/a": "blocklist.adult",
    "https://ok.sex.example.com/": None,
    "http://phish.org/~x/login?u=1": "blocklist.phishing",
    "http://phish.org/~xy": None,
    "http://news.spam.example/": "domain.out",
    "http://poker.net/Casino-royal": "word.hard",
    "http://poker.net/free/bet": "word.soft",
    "http://poker.net/free/lunch": None,
    "http://x-vi.deos.net/": "word.strict",
    "https://me.github.io/page": None,
    "https://github.io": "blocklist.phishing",
    "good.org/path": None,
    None: None,
}
STEP = {
    "blocklists": ["adult", "phishing.txt.gz"],
    "domains": {"out": "spam.example", "allow": ["ok.sex.example.com"]},
    "words": {"hard": ["casino"], "soft": ["free", "bet"], "strict": "strict.words"},
}


@pytest.fixture
def lists(tmp_path, monkeypatch):
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("sex.example.com\n")
    (tmp_path / "adult" / "expressions").write_text("(sex)")
    (tmp_path / "phishing.txt.gz").write_bytes(gzip.compress(b"phish.org/~x\ngithub.io\n||no^\n"))
    (tmp_path / "strict.words").write_text("# words\nxvideos\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pages(urls):
    return {"in": [{"id": f"d{n}", "text": f"Text number {n}.", "url": url} for n, url in enumerate(urls)]}


def test_each_row_of_a_batch_is_told_its_own_words():
    step = url_filter(**resolved(UrlFilter.model_validate({"words": {"soft": ["bet", "free", "cam"]}})))
    paths = {"free/bet": "bet, free", "free": None, "cam/bet": "bet, cam", "cam/free/bet/bet": "bet, cam, free"}
    table = pa.table({"url": [f"http://host.example/{path}" for path in [*paths, *reversed(paths)]]})
    _, why = step(table)
    found = [each["detail"] for each in why.to_pylist() if each]
    told = [detail for detail in paths.values() if detail]
    assert found == [*told, *reversed(told)]


def test_a_run_tells_list_and_rule(lists):
    out = mill(lists, [{"keep": {"url": STEP}}], pages(PAGES))
    rows = {row["id"]: row for row in rejected(out)}
    assert {f"d{n}": row for n, row in enumerate(PAGES.values()) if row} == {i: r["reason"] for i, r in rows.items()}
    assert len(kept(out)) == sum(reason is None for reason in PAGES.values())
    assert rows["d0"]["detail"] == "adult/domains: sex.example.com"
    assert rows["d2"]["detail"] == "phishing.txt.gz: phish.org/~x"
    assert (rows["d6"]["value"], rows["d6"]["threshold"], rows["d6"]["detail"]) == (2.0, 2.0, "bet, free")
    told = manifest(out)
    assert told["url_lists"]["01.keep.url"]["phishing.txt.gz"]["entries"] == 2
    assert "passed over 1 entries of phishing.txt.gz that are no domain or URL (line 3: ||no^)" in funnel(told)
    assert "1 entries of phishing.txt.gz are public suffixes" in funnel(told)
    assert all(finding.ok for finding in check(str(out)))
    assert "out: blocklist.adult, adult/domains: sex.example.com" in explain(str(out), "d0")


def test_same_bytes_whatever_the_batch(lists):
    one = mill(lists, [{"keep": {"url": STEP}}], pages(PAGES), batch=1, out="one")
    two = mill(lists, [{"keep": {"url": STEP}}], batch=1000, out="two")
    assert sums(one) == sums(two)


@pytest.mark.parametrize(
    "missing, reasons", [("keep", ["domain.in"] * 2), ("drop", ["domain.in", "domain.in", "url.missing"])]
)
def test_only_some_domains(lists, missing, reasons):
    urls = ["http://a.gov.uk/x", "https://gov.uk", "http://agov.uk", "http://b.edu", "http://b.com", None]
    out = mill(lists, [{"keep": {"url": {"domains": {"in": ["gov.uk", "edu"]}, "missing": missing}}}], pages(urls))
    assert sorted(row["reason"] for row in rejected(out)) == reasons


def test_where_asks_some_sources_only(lists):
    records = {
        "in": [{"id": s, "text": f"Text {s}.", "url": "http://x.casino.net", "source": s} for s in ("web", "book")]
    }
    out = mill(lists, [{"keep": {"url": {"words": {"hard": ["casino"]}}}, "where": {"source": "web"}}], records)
    assert [row["id"] for row in rejected(out)] == ["web"]


def test_a_changed_list_stops_the_run(lists):
    mill(lists, [], pages(["http://a.com"]), out="first")
    job, _ = job_of(lists, [{"keep": {"url": STEP}}])
    (lists / "adult" / "domains").write_text("other.com\n")
    url_lists.load.cache_clear()
    with pytest.raises(InputError, match=r"adult/domains: this list changed while the run went on"):
        url_filter(**job.refine["steps"][0]["options"])


def test_the_plan_names_lists(lists):
    mill(lists, [], pages(["http://a.com"]), out="first")
    text = outlook_text(outlook(job_of(lists, [{"keep": {"url": STEP}}])[0]))
    assert (
        "adult/domains (1 entries); phishing.txt.gz (2 entries); allow: ok.sex.example.com; out: spam.example; 1 strict words"
        in text
    )
