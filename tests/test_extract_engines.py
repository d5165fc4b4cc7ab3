"""extract: the engines side by side, Markdown, formulas, refusals."""

import gzip
import json
import sys
import time
from collections import Counter

import pyarrow as pa
import pytest

from filters import blocks
from filters.extract import extract
from filters.formulas import formulas_as_latex
from pipeline.errors import RecipeError
from pipeline.recipes.build import build
from pipeline.recipes.recipe import read
from pipeline.recipes.steps import parse_steps

PAGE = """<html lang=en><body class="single-post comments-open">
<nav class="main-menu"><ul><li><a href="/">Home</a></li><li><a href="/mills">Mills</a></li><li><a href="/about">About us</a></li></ul></nav>
<main><article class="post-content"><h1>The mill</h1>
<p>The mill <b>grinds</b> the grain of the village, and the <em>miller</em> is paid in <a href="/flour">flour</a>. It is slow work, but it is done well.</p>
<h2>What it grinds</h2>
<ul><li>wheat, which is the most common grain here</li><li>rye<ul><li>dark rye, for the bread of the north</li></ul></li></ul>
<ol><li>clean the stones, every morning before work</li><li>open the sluice, slowly and with care</li></ol>
<pre><code>def turn(wheel):
    return wheel + 1  # a &lt; b</code></pre>
<table><tr><th>grain</th><th>price</th></tr><tr><td>wheat</td><td>12</td></tr><tr><td>rye | oats</td><td>9</td></tr></table>
<blockquote><p>Flour is the miller's gold, says an old man who sits beside the wheel all day.</p></blockquote>
<p>In the evening the wheel stands still, the stones are cold, and the water goes by without being asked for anything.</p>
</article></main>
<div class="cookie-banner"><p>We use cookies to improve your experience.</p><button>Accept</button></div>
<div id="comments" class="comments-area"><h3>2 comments</h3><ol class="commentlist"><li class="comment"><p>First! Great post.</p></li></ol></div>
<aside class="related sidebar"><h3>Related posts</h3><ul><li><a href="/a">Ten wheels you must see</a></li><li><a href="/b">Why rye is back</a></li></ul></aside>
<footer><p>Copyright 2024 Example. <a href="/privacy">Privacy</a></p></footer></body></html>"""

MARKDOWN = """# The mill

The mill **grinds** the grain of the village, and the *miller* is paid in [flour](/flour). It is slow work, but it is done well.

## What it grinds

- wheat, which is the most common grain here
- rye
  - dark rye, for the bread of the north

1. clean the stones, every morning before work
2. open the sluice, slowly and with care

```
def turn(wheel):
    return wheel + 1  # a < b
```

| grain | price |
|---|---|
| wheat | 12 |
| rye \\| oats | 9 |

> Flour is the miller's gold, says an old man who sits beside the wheel all day.

In the evening the wheel stands still, the stones are cold, and the water goes by without being asked for anything."""


def run(page, **options):
    table = pa.table(
        {
            "text": pa.nulls(1, pa.large_string()),
            "html": pa.array([page.encode()], pa.large_binary()),
            "content_type": ["text/html; charset=utf-8"],
        }
    )
    out, (reason,) = extract(**options)(table)
    return out["text"][0].as_py(), reason.as_py()


def test_markdown_of_all_kinds_of_blocks():
    assert run(PAGE, engine="gristmill", as_="markdown", links=True)[0] == MARKDOWN


@pytest.mark.parametrize(
    ("page", "text", "markdown"),
    [
        ("<p>New <!-- <b>old</b> <a href=x>low</a> > --> price", "New price", "New price"),
        ("<p>on<!--e-->e <!-- a --!> two <!--> three <!-- <p>four", "one two three", "one two three"),
        ("<div hidden>a <!-- b --> c</div><p>one <!-- <p> --> two<p>three", "one two\n\nthree", "one two\n\nthree"),
        ("<p><a title='Home > <b>' href='/?a>b'>x</a> <b title='>'>y</b><br class='>'>z", "x y\nz", "[x](/?a>b) **y**\nz"),
        ("<p>the f**** <b>x</b> `` y", "the f**** x `` y", "the f**** **x** `` y"),
        ("<p><b>a</b><strong>b</strong> <i> c </i>d<b> </b><code></code><i><b></b></i>e", "ab c d e", "**ab** *c* d e"),
        ("<p>a <b>b<div>c</b> d <i>e</i></div>", "a b\n\nc d e", "a **b**\n\n**c** d *e*"),
    ],
)  # fmt: skip
def test_inside_a_block(page, text, markdown):
    assert run(page, engine="gristmill", main_content=False)[0] == text
    assert run(page, engine="gristmill", main_content=False, as_="markdown", links=True)[0] == markdown


@pytest.mark.parametrize(
    ("page", "markdown"),
    [
        (
            "<ul><li>do<pre>a = 1\n\n  b</pre>then<li><pre>c</pre></ul><p>rest",
            "- do\n\n  ```\n  a = 1\n\n    b\n  ```\n\n  then\n- ```\n  c\n  ```\n\nrest",
        ),
        ("<ol><li>a<ol><li><pre>b</pre></ol></ol>", "1. a\n  1. ```\n     b\n     ```"),
        ("<pre>a<br><br>b<div>c</div></pre><p>d", "```\na\nb\nc\n```\n\nd"),
        ("<li><pre>a<br><br>b</pre><p>c", "- ```\n  a\n  b\n  ```\n\n  c"),
        ("<pre>a<ul><li>b<li>c</ul>d</pre>", "```\na\n```\n\n- b\n- c\n\n```\nd\n```"),
    ],
)
def test_code_is_between_two_fences(page, markdown):
    assert run(page, engine="gristmill", main_content=False, as_="markdown")[0] == markdown


@pytest.mark.parametrize("page", ["<p>a{}b<br>c", "<pre>a{}b<br>c", "<p><b>{}a", "<p><b>a{}<i>b</i>{}</b>c<p><b>{}"])
def test_runs_of_blanks_in_a_block_take_no_time(page):
    """By the square of their number, or its cube, they took minutes."""
    for blank in (" ", "\u3000"):
        start = time.process_time()
        run(page.replace("{}", blank * 100_000), engine="gristmill", main_content=False, as_="markdown")
        assert time.process_time() - start < 1


def test_text_of_all_kinds_of_blocks():
    text, _ = run(PAGE, engine="gristmill")
    assert "• wheat, which" in text and "    • dark rye" in text and "  2. open the sluice" in text
    assert "grain\tprice\nwheat\t12" in text and "\n    return wheel + 1  # a < b" in text
    assert "**" not in text and "[" not in text


@pytest.mark.parametrize("engine", ["resiliparse", "gristmill", "trafilatura"])
@pytest.mark.parametrize("as_", ["text", "markdown"])
def test_every_engine_takes_the_article_and_leaves_the_rest(engine, as_):
    pytest.importorskip("trafilatura") if engine == "trafilatura" else None
    text, _ = run(PAGE, engine=engine, as_=as_)
    assert "the stones are cold, and the water goes by" in text and "wheat, which is the most common" in text
    for boilerplate in ("About us", "cookies to improve", "Great post", "Why rye is back", "Privacy"):
        assert boilerplate not in text, boilerplate
    assert ("## What it grinds" in text) == (as_ == "markdown")


def test_markdown_of_resiliparse():
    text, _ = run(PAGE, engine="resiliparse", as_="markdown")
    assert (
        "# The mill\n\nThe mill grinds" in text and "\n- rye\n  - dark rye" in text and "\n1. clean the stones" in text
    )
    assert "| grain | price |\n|---|---|\n| wheat | 12 |" in text and "```\ndef turn(wheel):\n    return" in text


def test_code_beside_content_stays():
    listing = "\n".join(f"{n}00 /var/lib/dpkg/status a=now" for n in range(9))
    page = PAGE.replace("<h2>What", f"<div class=screen><pre>{listing}</pre></div><h2>What")
    assert listing in run(page, engine="gristmill")[0]
    page = PAGE.replace("Great post.", f"Great post.</p><pre>{listing}</pre><p>")
    assert listing not in run(page, engine="gristmill")[0]


def test_the_whole_page_is_there_for_the_asking():
    text, _ = run(PAGE, engine="gristmill", main_content=False)
    assert (
        all(each in text for each in ("About us", "Great post", "the stones are cold", "Privacy"))
        and "Accept" not in text
    )


def test_trafilatura_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(ImportError, match=r"pip install 'gristmill\[trafilatura\]'.*resiliparse, gristmill"):
        extract(engine="trafilatura")


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        ({"links": True}, "links: true is for as: markdown"),
        ({"refuse": ["noia"]}, "'noia', did you mean 'noai'"),
        ({"engine": "trafilatura", "as_": "markdown", "main_content": False}, "only the main content as Markdown"),
    ],
)
def test_options_that_do_not_go_together(options, letter):
    with pytest.raises(ValueError, match=letter):
        extract(**options)


# ---- real pages ------------------------------------------------------------------------------------------------------


def gold_pages(small_data):
    with gzip.open(small_data / "extract/gold_pages.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def f1(text, gold):
    mine, true = Counter(text.lower().split()), Counter(gold.lower().split())
    both = sum((mine & true).values())
    return 2 * both / (sum(mine.values()) + sum(true.values()))


@pytest.mark.parametrize(("engine", "worst", "mean"), [("resiliparse", 0.55, 0.8), ("gristmill", 0.85, 0.92)])
def test_real_pages(small_data, engine, worst, mean):
    scores = {page["id"]: f1(run(page["html"], engine=engine)[0], page["gold_text"]) for page in gold_pages(small_data)}
    assert min(scores.values()) > worst and sum(scores.values()) / len(scores) > mean, scores


def test_a_page_in_another_language_is_cut_alike():
    """The same page with its English text exchanged for Chinese: the same blocks are content."""
    words = {"The mill": "水车磨坊", "First! Great post.": "沙发！好文章。", "Privacy": "隐私", "About us": "关于我们"}
    chinese = PAGE
    for english, other in words.items():
        chinese = chinese.replace(english, other)
    text, _ = run(chinese, engine="gristmill")
    assert text.startswith("水车磨坊") and "沙发" not in text and "关于我们" not in text


@pytest.mark.parametrize(
    "page", ["", "<", "<html>", "<frameset>", "<body></body>", "<p>" * 3000 + "deep", "<div>" * 3000 + "deep"]
)
def test_odd_pages(page):
    run(page, engine="gristmill")


def test_a_page_of_many_links_is_no_poison():
    page = "<body><ul>" + "<li>word word <a href=x>y</a></li>" * 14_000
    run(PAGE, engine="gristmill")
    start = time.process_time()
    run(page, engine="gristmill", main_content=False, metadata=True)
    assert time.process_time() - start < 5


def test_the_model_names_its_source():
    assert "blocks.npz" in (blocks.MODEL.parent / "README.md").read_text()


# ---- formulas --------------------------------------------------------------------------------------------------------


TEX = '<annotation encoding="application/x-tex">%s</annotation>'


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<p>so <math alttext="x^2 &lt; 3"><msup><mi>x</mi></msup></math>.</p>', "so $x^2 < 3$."),
        (f'<p>so <math display="block"><mi>x</mi>{TEX}</math></p>' % r"{\displaystyle x}", "so $$x$$"),
        ('<p>so <script type="math/tex">\\frac{1}{2}</script>.</p>', "so $\\frac{1}{2}$."),
        ('<p>so <script type="math/tex; mode=display">a<b</script>.</p>', "so $$a<b$$."),
        (f'<p>so <span class="katex"><math><mi>y</mi>{TEX}</math><span class="katex-html"><i>y<span>y</span></i></span></span>.</p>' % "y", "so $y$."),
        ("<p>so <math><mi>x</mi><mo>=</mo><mn>1</mn></math>.</p>", "so x=1."),
        ("<p>so <math><mi>x</mi>.</p>", "so x."),
    ],
)  # fmt: skip
def test_formulas(page, expected):
    assert run(page, engine="gristmill", main_content=False)[0] == expected


def test_formulas_of_the_default_engine_only_when_asked():
    page = '<p>The area is <math alttext="x^2"><mi>x</mi></math> and no more than that, says the miller.</p>'
    assert "$x^2$" not in run(page)[0] and "$x^2$" in run(page, formulas=True)[0]


@pytest.mark.parametrize(
    ("again", "behind"),
    [
        ("<math>", "<script type=math/tex>"),
        ("<annotation encoding=tex></annotation >", "</math>"),
        ("<annotation ", "</annotation></math>"),
        ('<annotation encoding="tex" ', "</annotation></math>"),
        ("<math ", "></math>"),
        ("<span ", "katex-html</math>"),
        ("<script type=math/tex ", "</script>"),
    ],
)
def test_formulas_without_ends_take_no_time(again, behind):
    start = time.process_time()
    formulas_as_latex("<math>" + again * 20_000 + behind * 20_000)
    assert time.process_time() - start < 1


# ---- in a recipe -----------------------------------------------------------------------------------------------------


def parsed(options):
    text = f"input: {{paths: X}}\nsteps:\n  - extract: {options}\noutput: {{path: o}}\n"
    recipe, source = read(text, "r.yaml")
    return parse_steps(recipe.steps, source).rows[0]


def test_options_of_a_recipe_reach_the_step():
    step = parsed("{engine: gristmill, as: markdown, refuse: noai, metadata: true}")
    table = pa.table({"text": pa.nulls(1, pa.large_string()), "html": pa.array([PAGE.encode()], pa.large_binary())})
    out, _ = build(step, record=False)(table)
    assert out["text"][0].as_py().startswith("# The mill") and json.loads(out["metadata"][0].as_py()) == {
        "language": "en"
    }


def test_a_recipe_with_a_missing_package_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(RecipeError, match=r"r\.yaml:3: .*pip install"):
        parsed("{engine: trafilatura}")
