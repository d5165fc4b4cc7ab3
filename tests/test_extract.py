"""extract: charsets, content types, and what the text looks like."""

import csv
import gzip
import json
import re
import time
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.block_text import _SPACE
from filters.charset import codec, decode, meta_charset
from filters.extract import _cell, extract, tidy

PAGE = "<html><head><title>t</title></head><body><nav><a href=/>Home</a></nav><main><h1>{0}</h1><p>{0} and more.</p></main></body></html>"


def run(pages, types=None, **options):
    n = len(pages)
    table = pa.table(
        {
            "text": pa.nulls(n, pa.large_string()),
            "html": pa.array(pages, pa.large_binary()),
            "content_type": pa.array(types or [None] * n, pa.string()),
            "_mine": list(range(n)),
        }
    )
    out, reasons = extract(**options)(table)
    assert out["html"].null_count == n and out["_mine"].to_pylist() == list(range(n))
    assert out["text"].type == pa.large_string()
    return out["text"].to_pylist(), [each and each["reason"] for each in reasons.to_pylist()]


# ---- charsets ------------------------------------------------------------------------------------------------------

SAMPLES = {
    "gb18030": "水车磨坊慢慢地转动，面粉很细，村里的人都来买。",
    "big5hkscs": "水車磨坊慢慢地轉動，麵粉很細，村裡的人都來買。",
    "cp932": "水車はゆっくり回り、粉はとても細かいので、村の人はみんな買いに来ます。",
    "euc_jp": "水車はゆっくり回り、粉はとても細かいので、村の人はみんな買いに来ます。",
    "cp949": "물레방아는 천천히 돌고 밀가루는 아주 곱기 때문에 마을 사람들이 모두 사러 온다.",
    "cp1251": "Водяная мельница крутится медленно, мука очень мелкая, и все в деревне приходят её покупать.",
    "koi8-r": "Водяная мельница крутится медленно, мука очень мелкая, и все в деревне приходят её покупать.",
    "cp1252": "Die Mühle mahlt langsam, aber das Mehl ist schön fein, und alle Müller grüßen.",
    "utf-8": "Die Mühle mahlt langsam – 水车磨坊 – мельница.",
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("how", ["header", "meta", "detected"])
def test_every_way_to_know_a_charset(name, how):
    meta = f"<meta charset={name}>" if how == "meta" else ""
    page = (meta + PAGE.format(SAMPLES[name])).encode(name)
    found = decode(page, f"text/html; charset={name}" if how == "header" else "text/html")
    assert SAMPLES[name] in found.text
    assert found.charset == name


@pytest.mark.parametrize(
    ("page", "content_type", "text", "how"),
    [
        (b"\xef\xbb\xbfM\xc3\xbchle", "text/html; charset=gbk", "Mühle", "bom"),
        ("Mühle".encode("utf-16"), None, "Mühle", "bom"),
        ("Mühle".encode("utf-32"), None, "Mühle", "bom"),
        (b"M\xfchle", 'text/html; charset="ISO-8859-1"', "Mühle", "header"),
        (b"\x93M\xfchle\x94", "text/html;charset=iso-8859-1", "“Mühle”", "header"),  # browsers: windows-1252
        ("磨坊".encode("gb18030"), "text/html; charset=gb2312", "磨坊", "header"),
        ("磨坊㐂".encode("gb18030"), "text/html; charset=gbk", "磨坊㐂", "header"),
        ("<p>Mühle für müde Müller".encode(), "text/html; charset=iso-8859-1", "<p>Mühle für müde Müller", "detected"),
        ("<p>Mühle".encode(), "text/html; charset=nonsense", "<p>Mühle", "detected"),
        ("<p>Mühle".encode("utf-16-le"), "text/html", "<p>Mühle", "detected"),
        (b"<meta charset=utf-16><p>M\xc3\xbchle", None, "<meta charset=utf-16><p>Mühle", "meta"),
        (b"", None, "", "detected"),
        (b"a", None, "a", "detected"),
        (b"\xff", "text/html; charset=utf-8", None, None),
        (b"\x00", None, "", "detected"),
    ],
)
def test_decode(page, content_type, text, how):
    found = decode(page, content_type)
    if text is not None:
        assert (found.text, found.how) == (text, how)


def test_one_bad_byte_does_not_cost_the_page():
    page = ("<p>" + "Mühle " * 100).encode() + b"\xff"
    found = decode(page, "text/html; charset=utf-8")
    assert found.charset == "utf-8" and found.text.count("Mühle") == 100 and found.text.endswith("\ufffd")


def test_a_wrong_declaration_falls_to_detection():
    page = PAGE.format(SAMPLES["cp1251"]).encode("cp1251")
    found = decode(page, "text/html; charset=utf-8")
    assert found.how == "detected" and SAMPLES["cp1251"] in found.text


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("GB2312", "gb18030"), ("gbk", "gb18030"), ("Shift_JIS", "cp932"), ("x-sjis", "cp932"), ("EUC-KR", "cp949"), ("ks_c_5601-1987", "cp949"),
        ("big5", "big5hkscs"), ("latin1", "cp1252"), ("us-ascii", "cp1252"), ("iso-8859-9", "cp1254"), ("tis-620", "cp874"),
        (" UTF-8 ", "utf-8"), ("utf-7", None), ("nonsense", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_labels_mean_what_browsers_mean(label, name):
    assert codec(label) == name


# Where we differ from the html5lib cases we find more than a browser: a label in a <meta> that is no content type, or
# behind an open quote. A label found wrongly does no harm, since it must also decode the page.
SNIFFING_FOUND = 40


def test_sniffing_cases(small_data):
    parts = (small_data / "extract/encoding_sniffing.dat").read_bytes().split(b"#data\n")[1:]
    right = 0
    for part in parts:
        data, _, expected = part.partition(b"\n#encoding\n")
        right += (codec(meta_charset(data)) or "cp1252") == codec(expected.split(b"\n")[0].decode())
    assert (right, len(parts)) == (SNIFFING_FOUND, 59)


# ---- content types ---------------------------------------------------------------------------------------------------

XHTML = b'<?xml version="1.0" encoding="utf-8"?>\n<!-- x -->\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">\n<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Mills.</p></body></html>'


@pytest.mark.parametrize(
    ("page", "content_type", "text", "reason"),
    [
        (b"<p>Mills.</p>", "text/html", "Mills.", None),
        (b"<p>Mills.</p>", "TEXT/HTML;charset=UTF-8", "Mills.", None),
        (b"Mills.", "text/html", "Mills.", None),
        (XHTML, "application/xhtml+xml", "Mills.", None),
        (XHTML, "text/xml", "Mills.", None),
        (XHTML, "application/xml; charset=utf-8", "Mills.", None),
        (XHTML, None, "Mills.", None),
        (b"\xef\xbb\xbf" + XHTML, "text/xml", "Mills.", None),
        (b"\n <!doctype HTML><p>Mills.", "", "Mills.", None),
        ("<html><p>Mills.".encode("utf-16"), None, "Mills.", None),
        (b"<p>Mills.</p>", "application/octet-stream", "Mills.", None),
        (b"Mills & <b>corn</b>\n\n\n\nx ", "text/plain", "Mills & <b>corn</b>\n\n\n\nx ", None),
        (b"<rss><channel><title>Mills</title></channel></rss>", "text/xml", None, "not_html"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><title>a</title></svg>', "image/svg+xml", None, "not_html"),
        (b'{"html": "<p>Mills</p>"}', "application/json", None, "not_html"),
        (b"%PDF-1.7 ...", "text/html", None, "not_html"),
        (b"\x89PNG\r\n\x1a\n", "image/png", None, "not_html"),
        (b"a\x00\x01\x02bcd", "text/plain", None, "not_html"),
        (b"Mills.", None, None, "not_html"),
        (b"", None, None, "not_html"),
        (b"", "text/html", None, "no_text"),
        (b" ", "text/html", None, "no_text"),
        (b"<", "text/html", "<", None),
        (b"a", "text/html", "a", None),
        (b"<html><script>let a = 1</script></html>", "text/html", None, "no_text"),
        (b" \n", "text/plain", None, "no_text"),
    ],
)  # fmt: skip
def test_content_types(page, content_type, text, reason):
    assert run([page], [content_type]) == ([text], [reason])


def test_rows_without_html_pass():
    table = pa.table({"text": pa.array(["kept", None], pa.large_string()), "html": pa.nulls(2, pa.large_binary())})
    out, reasons = extract()(table)
    assert out is table and reasons.null_count == 2


def test_mixed_rows():
    table = pa.table(
        {
            "text": pa.array(["kept", None, None], pa.large_string()),
            "html": pa.array([None, b"<p>Mills.", b"%PDF-"], pa.large_binary()),
            "content_type": [None, "text/html", "application/pdf"],
        }
    )
    out, reasons = extract()(table)
    assert out["text"].to_pylist() == ["kept", "Mills.", None]
    assert reasons.to_pylist()[2] == {
        "reason": "not_html",
        "value": None,
        "threshold": None,
        "detail": "application/pdf",
    }
    assert out.column_names == table.column_names


def test_no_rows():
    assert run([]) == ([], [])


# ---- text ------------------------------------------------------------------------------------------------------------


def test_main_content():
    page = PAGE.format("Mills").encode()
    assert run([page], ["text/html"]) == (["Mills\n\nMills and more."], [None])
    (whole,), _ = run([page], ["text/html"], main_content=False)
    assert "Home" in whole


def test_what_is_left_out():
    page = (
        b'<main><div class="breadcrumb">Home &gt; Mills</div><h2>Mills<span class="mw-editsection">[edit]</span></h2><p>They '
        b'grind. <img alt="logo"><a href="http://x.org">Corn</a></p><noscript>Enable it</noscript>'
        b"<ul><li>They grind wheat.</li><li>They grind rye.</li></ul></main>"
    )
    (text,), _ = run([page], ["text/html"])
    assert re.sub(r"\s+", " ", text) == "Mills They grind. Corn • They grind wheat. • They grind rye."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n\n a", " a"),
        ("a \n\n\n\n b\t\n", "a\n\n b"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\t\tb \t\t c", "a\tb\tc"),
        ("\t\tint x;\n", "\t\tint x;"),
        ("a\n \u00a0\n\n\nb", "a\n\nb"),
    ],
)
def test_tidy(text, expected):
    assert tidy(text) == expected


ODD_BLANKS = "a<b \t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u2028\u3000\u200b"


@settings(max_examples=300)
@given(st.text(st.sampled_from(ODD_BLANKS), max_size=30))
def test_tidy_and_plain_are_what_their_patterns_say(text):
    """The plain ways, which look at each character."""
    inside = re.sub(r"(?<![ \t])[ \t]{2,}", _cell, text.replace("\r\n", "\n").replace("\r", "\n"))
    ends = re.sub(r"(?<![^\S\n])[^\S\n]+(?=\n)", "", inside + "\n")
    assert tidy(text) == re.sub(r"\n{3,}", "\n\n", ends).strip("\n").rstrip()
    assert _SPACE.sub(" ", text) == re.sub(r"[ \t\r\n\f\xa0]+", " ", text)


def test_unknown_engine():
    with pytest.raises(ValueError, match="unknown engine 'boilerpipe'"):
        extract(engine="boilerpipe")  # type: ignore[arg-type]


# ---- real pages --------------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_main_content_against_readability(shared_data):
    """Mean word F1 against the text that mozilla/readability expects of its own 52 pages."""
    with gzip.open(shared_data / "web_gold/readability.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts, _ = run([row["html"].encode() for row in rows], ["text/html; charset=utf-8"] * len(rows))
    scores = [f1(text or "", row["gold_text"]) for text, row in zip(texts, rows)]
    assert sum(scores) / len(scores) >= 0.96


def f1(text, gold):
    mine, theirs = (Counter(re.findall(r"[\u3040-\u9fff]|\w+", each.lower())) for each in (text, gold))
    return 2 * (mine & theirs).total() / max(1, mine.total() + theirs.total())


@pytest.mark.shared
def test_pages_of_many_languages(shared_data):
    """Each page of the two WARC files gives text; without any declaration it decodes to the same as with it."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    declaration = re.compile(r"""(?i)charset\s*=\s*["']?[\w-]+|encoding="[^"]*\"""")
    languages = set()
    for name in ("handbook_26_languages", "apache_cppreference_sqlite"):
        with (shared_data / f"web/{name}.index.tsv").open(encoding="utf-8") as lines:
            hints = {row["url"]: row["lang_hint"] for row in csv.DictReader(lines, delimiter="\t")}
        with (shared_data / f"web/{name}.warc.gz").open("rb") as stream:
            records = ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True, auto_decode="all")
            for record in records:
                content_type, page = record.http_headers.get("Content-Type"), record.reader.read()
                told = decode(page, content_type)
                bare = declaration.sub("x", page.decode("latin-1")).encode("latin-1")
                assert decode(bare, "text/html").text == declaration.sub("x", told.text), record.headers[
                    "WARC-Target-URI"
                ]
                (text,), (reason,) = run([page], [content_type])
                assert reason is None and text == tidy(text)
                languages.add(hints[record.headers["WARC-Target-URI"]])
    assert len(languages) >= 26


# sample file -> a piece of the right text
ENCODINGS = {
    "arabic-1": "المنطقة المغاربية",
    "chinese": "集天下知、四海言",
    "english.bom": "About 2 months ago",
    "french-1": "15 JANVIER 1622",
    "greek": "μητρική γλώσσα",
    "greek-2": "μητρική γλώσσα",
    "hebrew-2": "עבריים",
    "hebrew-3": "עבריים",
    "korean": "역사적 예수",
    "polish": "SYSTEM",
    "russian": "в числе первых учеников",
    "russian-2": "в числе первых учеников",
    "russian-3": "столица России",
    "spanish": "creó Dios los cielos",
    "turkish": "iktisadi ve kültürel",
    "arabic": "المنطقة المغاربية",
    "bulgarian": "право на образование",
    "french": "15 JANVIER 1622",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", ENCODINGS)
def test_text_in_old_encodings(shared_data, name):
    page = (shared_data / f"dirty/encodings_charset_normalizer/sample-{name}.txt").read_bytes()
    text = decode(page).text
    assert ENCODINGS[name] in text and "\ufffd" not in text


@pytest.mark.parametrize("lone", ["和", "—", "，", "…", "の", "&mdash;", "&#8212;"])
def test_a_lone_character_between_elements_is_kept(lone):
    """resiliparse drops a text node of one three-byte character; Chinese text between <code> elements is full of them."""
    page = f"<html><body><p>事件由 <code>auth</code> {lone} <code>authpriv</code>：用于授权，还有更多的文字。</p></body></html>"
    table = pa.table(
        {
            "text": pa.nulls(1, pa.large_string()),
            "html": pa.array([page.encode()], pa.large_binary()),
            "content_type": ["text/html; charset=utf-8"],
        }
    )
    text = extract()(table)[0]["text"][0].as_py()
    shown = {"&mdash;": "—", "&#8212;": "—"}.get(lone, lone)
    assert text == f"事件由 auth {shown} authpriv：用于授权，还有更多的文字。"


def test_lists_near_body_are_text_and_menus_are_not():
    page = b"<body><ul><li><a href=/>Home page</a></li></ul><p>They grind.</p><ul><li>wheat <a href=x>x</a></li><li>rye</li></ul><p>End."
    (text,), _ = run([page], ["text/html"])
    assert text == "They grind.\n\n  • wheat x\n  • rye\n\nEnd."


def test_a_page_of_many_links_is_no_poison():
    page = b"<body><ul>" + b"<li>word word <a href=x>y</a></li>" * 14_000
    start = time.process_time()
    (text,), _ = run([page], ["text/html"])
    assert text.count("word word y") == 14_000 and time.process_time() - start < 5
