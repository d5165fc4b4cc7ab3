"""The kernels below the engine `gristmill`, against plain twins."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from filters import blocks
from filters.block_text import inline
from filters.block_words import CUES, ID, TAGS, cue_table, tag_table
from kernels import html_blocks as hb
from kernels.hashes import fnv_of
from kernels.html_features import feature_names
from kernels.trees import tree_sums

BLOCK_TAGS = {TAGS[number] for number in range(1, ID["a"])} | {"legend", "dialog", "search", "xmp"}


class Twin(HTMLParser):
    """Blocks of well-formed mark-up, the slow way: (letters, letters in links, words, tag of the element around, text)."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.open, self.dropped, self.links, self.breaks = [], 0, 0, 0
        self.found, self.text, self.linked = [], "", ""

    def cut(self):
        letters = [c for c in self.text if c.isalnum() or c == "_"]
        if letters:
            around = next((tag for tag, _ in reversed(self.open) if tag in BLOCK_TAGS), None)
            linked, words = sum(c.isalnum() for c in self.linked), self.text.split()
            self.found.append((len(letters), linked, len(words), around, " ".join(words)))
        self.text = self.linked = ""
        self.breaks = 0

    def handle_starttag(self, tag, attributes):
        hidden = any(name == "hidden" for name, _ in attributes)
        if tag == "br":
            self.text += " "
            self.breaks += 1
            if self.breaks == 2 and not self.dropped:
                self.cut()
                self.breaks = 2
            return
        if tag == "hr":
            if not self.dropped:
                self.cut()
            return
        if tag == "img":
            return
        if tag in BLOCK_TAGS and not self.dropped:
            self.cut()
        drop = hidden or tag in ("script", "button")
        self.open.append((tag, drop))
        self.dropped += drop
        self.links += tag == "a"

    def handle_endtag(self, tag):
        if tag in BLOCK_TAGS and not self.dropped:
            self.cut()
        _, drop = self.open.pop()
        self.dropped -= drop
        self.links -= tag == "a"
        if tag in BLOCK_TAGS and drop and not self.dropped:
            self.text = self.linked = ""
            self.breaks = 0

    def handle_data(self, data):
        if self.dropped:
            return
        if data.strip():
            self.breaks = 0
        self.text += data
        self.linked += data if self.links else ""


WORDS = st.sampled_from(["mill", "grain ", " 12 flour", "it turns slowly ", " "])
LEAF = WORDS | st.sampled_from(
    [
        "<br>", "<br><br>", "<img alt='b > a'>", "<hr>", "<script>if (a<b) {}</script>", "<button>go</button>",
        "<!-- <b>no</b> mill -->", "<!-- a > b", "<!-->", "<!-- no --!>", "<!doctype x>", "<?pi no?>", "<![CDATA[no]]>",
    ]
)  # fmt: skip
TREE = st.recursive(
    LEAF,
    lambda inner: st.builds(
        lambda tag, attributes, parts: f"<{tag}{attributes}>{' '.join(parts)}</{tag}>",
        st.sampled_from(["div", "section", "b", "span", "a", "em", "li", "ul", "blockquote", "my-card"]),
        st.sampled_from(["", " hidden", ' class="postBody ad"', " id='x'", " title='a > b <i>'"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(TREE)
def test_blocks_are_those_of_a_plain_parser(tree):
    source = HTMLTree.parse(f"<body>{tree}</body>").body.html.replace("my-card", "article")
    twin = Twin()
    twin.feed(source)
    twin.close()
    page = blocks.scan(source)
    found = [
        (
            *(int(row[column]) for column in (hb.LETTERS, hb.LINKED, hb.WORDS)),
            TAGS[page.nodes[row[hb.NODE], hb.TAG]],
            " ".join(inline(block.markup, pre=False, markdown=False, links=False).split()),
        )
        for row, block in zip(page.blocks, blocks.placed(page, blocks.every(page)), strict=True)
    ]
    assert found == twin.found


def test_hashes_and_cues():
    keys, values = cue_table()
    for number, words in enumerate(CUES.values()):
        for word in words.split():
            assert hb._find.py_func(keys, values, np.uint64(fnv_of(word))) >> number & 1
    page = blocks.scan('<body class="ad"><div class="postBody x-sidebar" id="relatedNews"><p>Mills</p></div></body>')
    names = list(CUES)
    cues = {names[bit] for bit in range(len(names)) if page.nodes[1, hb.CUES] >> bit & 1}
    assert {"content", "sidebar", "related"} <= cues and "promo" not in cues


def test_the_tag_table_holds_every_tag():
    keys, values = tag_table()
    for name in TAGS[1:]:
        assert hb._find.py_func(keys, values, np.uint64(fnv_of(name))) >> 8 == ID[name]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "<",
        "<body",
        "<body>x",
        "<body><p class=",
        '<body><p class="',
        "<body><!-- x",
        "<body></p>",
        "<body>&",
        "</" * 9,
        "<div>" * 2000 + "x",
    ],
)
def test_broken_mark_up_stays_inside_its_arrays(source):
    page = blocks.scan(source)
    assert all(0 <= row[hb.START] <= row[hb.END] <= len(page.source) for row in page.blocks)
    assert blocks.measure(page).shape == (len(page.blocks), len(feature_names(32, len(CUES))))


def test_text_counts_of_chinese_and_english():
    (row,) = blocks.scan("<body><p>水车，磨坊。Mills &amp; grain, 12!</p></body>").blocks
    assert [row[at] for at in (hb.LETTERS, hb.WORDS, hb.MARKS, hb.TERMINAL, hb.DIGITS, hb.CAPITALS, hb.ENDS)] == [
        20,
        7,
        2,
        2,
        2,
        1,
        1,
    ]


def test_trees_equal_a_walk_in_python():
    model = blocks.load_model()
    page = blocks.scan(
        HTMLTree.parse(
            "<nav><a href=/>Home</a></nav>" + "<div class=post><h1>Mills</h1><p>They grind, all day. </p>" * 3
        ).body.html
    )
    rows = blocks.measure(page)

    def leaf(tree, row):
        at = 0
        while at >= 0:
            node = model.node_starts[tree] + at
            at = int(model.children[2 * node + int(row[model.feature[node]] > model.threshold[node])])
        return int(model.leaves[model.leaf_starts[tree] + ~at])

    expected = [sum(leaf(tree, row) for tree in range(len(model.node_starts))) for row in rows]
    assert len(rows) >= 6
    for count in range(len(rows) + 1):  # rows go down the trees four at once
        assert tree_sums(rows[:count], *model[:-1]).tolist() == expected[:count]


def test_a_model_for_other_features_is_refused(monkeypatch):
    monkeypatch.setattr(blocks, "_feature_names", lambda: ["one"])
    blocks.load_model.cache_clear()
    with pytest.raises(ValueError, match=r"was made for .* features, there are 1; train it again"):
        blocks.load_model()
    blocks.load_model.cache_clear()
