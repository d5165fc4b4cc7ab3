"""What is known of each block of a page, as one row of numbers: its text, its elements, its neighbours, its container.

In: the arrays of `kernels.html_blocks.scan`. Out: float32 of shape (blocks, columns of FEATURES); "share" is 0 to 1.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from kernels.compile import kernel, part
from kernels.html_blocks import (
    BREAKS,
    CAPITALS,
    CUES,
    DEPTH,
    DIGITS,
    ENDS,
    LETTERS,
    LINKED,
    LINKS,
    MARKS,
    NODE,
    PARENT,
    SIGN,
    STRONG_LETTERS,
    TAG,
    TERMINAL,
    WORDS,
)  # fmt: skip

# node sums
N_LETTERS, N_LINKED, N_MASS, N_BLOCKS, N_PARAS, N_COLUMNS = 0, 1, 2, 3, 4, 5

OWN = (
    "letters", "words", "link_share", "links", "marks", "terminal", "digit_share", "capital_share", "strong_share",
    "ends", "breaks", "word_length", "is_para",
)  # fmt: skip
AROUND = ("letters", "link_share", "terminal", "tag", "is_para", "same_parent")
CONTAINER = ("link_share", "mass_share", "letters_per_block", "blocks", "para_share")
LEVELS = 4
PAGE = (
    "place", "mass_before", "mass_after", "blocks_to_mass_before", "blocks_to_mass_after", "page_mass", "page_blocks", "page_link_share",
    "in_best", "steps_to_best", "best_share", "depth", "twins", "twin_share", "letters_since_heading", "h1_before", "heading_before",
    "h1_all", "article", "articles", "article_share", "steps_to_top", "in_top", "top_share", "letters_since_h1",
)  # fmt: skip


def feature_names(tags: int, cues: int) -> list[str]:
    """Names of the columns, in order."""
    names = [f"own.{name}" for name in OWN] + ["own.tag", "own.parent_tag"]
    names += [f"{side}.{name}" for side in ("prev", "next", "prev2", "next2") for name in AROUND]
    names += [f"up{level}.{name}" for level in range(LEVELS) for name in CONTAINER]
    names += [f"page.{name}" for name in PAGE]
    names += [f"in.{tag}" for tag in range(32)]
    names += [f"near.{cue}" for cue in range(cues)] + [f"any.{cue}" for cue in range(cues)]
    return names


@part
def _is_para(row):
    """A block that reads like a paragraph: some length, few links, a sentence in it."""
    return row[LETTERS] >= 60 and row[LINKED] * 3 < row[LETTERS] and row[TERMINAL] + row[MARKS] > 0


@part
def _sums(nodes, n_nodes, blocks, n_blocks, sums):
    for b in range(n_blocks):
        node = blocks[b, NODE]
        if node < 0:
            continue
        para = _is_para(blocks[b])
        sums[node, N_LETTERS] += blocks[b, LETTERS]
        sums[node, N_LINKED] += blocks[b, LINKED]
        sums[node, N_MASS] += blocks[b, LETTERS] - blocks[b, LINKED] if para else 0
        sums[node, N_BLOCKS] += 1
        sums[node, N_PARAS] += para
    for node in range(n_nodes - 1, -1, -1):
        parent = nodes[node, PARENT]
        if parent >= 0:
            for column in range(N_COLUMNS):
                sums[parent, column] += sums[node, column]


@part
def _best(nodes, n_nodes, sums, total):
    """The innermost element that holds six tenths of the mass; -1 if none does."""
    best = -1
    for node in range(n_nodes):
        if sums[node, N_MASS] * 10 >= total * 6 and total > 0:
            best = node
    return best


@part
def _around(blocks, n_blocks, nodes, b, other, row, at):
    if other < 0 or other >= n_blocks:
        row[at] = -1
        row[at + 1 : at + 6] = 0
        row[at + 3] = -1
        return
    each = blocks[other]
    row[at] = each[LETTERS]
    row[at + 1] = each[LINKED] / each[LETTERS]
    row[at + 2] = each[TERMINAL]
    row[at + 3] = nodes[each[NODE], TAG] if each[NODE] >= 0 else 0
    row[at + 4] = _is_para(each)
    mine, theirs = blocks[b, NODE], each[NODE]
    row[at + 5] = mine >= 0 and theirs >= 0 and (mine == theirs or nodes[mine, PARENT] == nodes[theirs, PARENT])


@part
def _own(block, nodes, row):
    letters = max(block[LETTERS], 1)
    row[0], row[1] = block[LETTERS], block[WORDS]
    row[2], row[3] = block[LINKED] / letters, block[LINKS]
    row[4], row[5] = block[MARKS], block[TERMINAL]
    row[6], row[7] = block[DIGITS] / letters, block[CAPITALS] / max(block[WORDS], 1)
    row[8], row[9], row[10] = block[STRONG_LETTERS] / letters, block[ENDS], block[BREAKS]
    row[11], row[12] = letters / max(block[WORDS], 1), _is_para(block)
    node = block[NODE]
    row[13] = nodes[node, TAG] if node >= 0 else 0
    parent = nodes[node, PARENT] if node >= 0 else -1
    row[14] = nodes[parent, TAG] if parent >= 0 else 0


@part
def _containers(nodes, sums, node, total, row, at):
    for _ in range(LEVELS):
        if node < 0:
            row[at : at + 5] = -1
        else:
            letters = max(sums[node, N_LETTERS], 1)
            row[at] = sums[node, N_LINKED] / letters
            row[at + 1] = sums[node, N_MASS] / max(total, 1)
            row[at + 2] = letters / max(sums[node, N_BLOCKS], 1)
            row[at + 3] = sums[node, N_BLOCKS]
            row[at + 4] = sums[node, N_PARAS] / max(sums[node, N_BLOCKS], 1)
            node = nodes[node, PARENT]
        at += 5


@part
def _ancestors(nodes, node, tags, cues, row, at):
    near, everywhere, seen, level = 0, 0, 0, 0
    while node >= 0:
        if nodes[node, PARENT] >= 0 or level == 0:  # the outermost element is <body>: its classes speak of the site
            if level < 3:
                near |= nodes[node, CUES]
            everywhere |= nodes[node, CUES]
        tag = nodes[node, TAG]
        if tag < 32:
            seen |= 1 << tag
        node = nodes[node, PARENT]
        level += 1
    for tag in range(32):
        row[at + tag] = seen >> tag & 1
    for cue in range(cues):
        row[at + 32 + cue] = near >> cue & 1
        row[at + 32 + cues + cue] = everywhere >> cue & 1


@part
def _reach(nodes, n_nodes, best):
    """For each element how many one has to leave until one is in `best` or around it; and whether it is `best` or in it."""
    steps, inside = np.zeros(n_nodes + 1, np.int64), np.zeros(n_nodes + 1, np.bool_)
    line = np.zeros(n_nodes + 1, np.bool_)
    up = best
    while up >= 0:
        line[up] = True
        up = nodes[up, PARENT]
    for node in range(n_nodes):
        parent = nodes[node, PARENT]
        inside[node] = node == best or (parent >= 0 and inside[parent])
        if not inside[node] and not line[node]:
            steps[node] = steps[parent] + 1 if parent >= 0 else 1
    return steps, inside


@part
def _twins(nodes, blocks, n_blocks, counts, letters, keys):
    """Blocks of the same element, class, and parent's class: how many, and their letters; by an open-addressed table."""
    mask = len(keys) - 1
    total = 0
    places = np.empty(n_blocks, np.int64)
    for b in range(n_blocks):
        node = blocks[b, NODE]
        sign = np.int64(0)
        if node >= 0:
            parent = nodes[node, PARENT]
            sign = np.int64(nodes[node, SIGN]) * 31 + (np.int64(nodes[parent, SIGN]) if parent >= 0 else 0) + 1
        at = (sign ^ (sign >> 15)) & mask
        while keys[at] != 0 and keys[at] != sign:
            at = (at + 1) & mask
        keys[at] = sign
        counts[at] += 1
        letters[at] += blocks[b, LETTERS] - blocks[b, LINKED]
        total += blocks[b, LETTERS] - blocks[b, LINKED]
        places[b] = at
    return places, total


@part
def _top(nodes, n_nodes, blocks, n_blocks):
    """The element that holds most paragraphs next to each other (as its children or its own text), and their mass."""
    mass = np.zeros(n_nodes + 1, np.int64)
    top, most = -1, 0
    for b in range(n_blocks):
        node = blocks[b, NODE]
        if node < 0 or not _is_para(blocks[b]):
            continue
        around = nodes[node, PARENT] if nodes[node, PARENT] >= 0 else node
        mass[around] += blocks[b, LETTERS] - blocks[b, LINKED]
    for node in range(n_nodes):
        if mass[node] > most:
            top, most = node, mass[node]
    return top, most


@part
def _articles(nodes, n_nodes, article):
    """The number (from 1) of the outermost <article> that an element lies in, 0 in none; that element; how many there are."""
    number, outer = np.zeros(n_nodes + 1, np.int64), np.full(n_nodes + 1, -1, np.int64)
    count = 0
    for node in range(n_nodes):
        parent = nodes[node, PARENT]
        if parent >= 0 and number[parent]:
            number[node], outer[node] = number[parent], outer[parent]
        elif nodes[node, TAG] == article:
            count += 1
            number[node], outer[node] = count, node
    return number, outer, count


@kernel
def features(nodes, n_nodes, blocks, n_blocks, h1, article, headings, cues, out):
    """Fills `out`, float32 (n_blocks, columns). h1, article: ids of these tags; headings: a bit for each heading's id."""
    sums = np.zeros((n_nodes + 1, N_COLUMNS), np.int64)
    _sums(nodes, n_nodes, blocks, n_blocks, sums)
    total = page_letters = page_linked = 0
    for b in range(n_blocks):
        page_letters += blocks[b, LETTERS]
        page_linked += blocks[b, LINKED]
        total += blocks[b, LETTERS] - blocks[b, LINKED] if _is_para(blocks[b]) else 0
    best = _best(nodes, n_nodes, sums, total)
    steps, inside = _reach(nodes, n_nodes, best)
    top, top_mass = _top(nodes, n_nodes, blocks, n_blocks)
    top_steps, in_top = _reach(nodes, n_nodes, top)
    number, outer, articles = _articles(nodes, n_nodes, article)
    all_h1 = 0
    for b in range(n_blocks):
        all_h1 += blocks[b, NODE] >= 0 and nodes[blocks[b, NODE], TAG] == h1
    size = 16
    while size < 2 * n_blocks:
        size *= 2
    counts, letters, keys = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    places, text = _twins(nodes, blocks, n_blocks, counts, letters, keys)
    before = since = since_h1 = seen_h1 = 0
    last_para, heading = -1, False
    first = 15 + 4 * len(AROUND) + LEVELS * len(CONTAINER)
    for b in range(n_blocks):
        row, block = out[b], blocks[b]
        node = block[NODE]
        _own(block, nodes, row)
        _around(blocks, n_blocks, nodes, b, b - 1, row, 15)
        _around(blocks, n_blocks, nodes, b, b + 1, row, 21)
        _around(blocks, n_blocks, nodes, b, b - 2, row, 27)
        _around(blocks, n_blocks, nodes, b, b + 2, row, 33)
        _containers(nodes, sums, node, total, row, 39)
        para = _is_para(block)
        mass = block[LETTERS] - block[LINKED] if para else 0
        tag = nodes[node, TAG] if node >= 0 else 0
        at = first
        row[at] = b / n_blocks
        row[at + 1] = before / max(total, 1)
        row[at + 2] = (total - before - mass) / max(total, 1)
        row[at + 3] = min(b - last_para, 30) if last_para >= 0 else 31
        row[at + 5], row[at + 6], row[at + 7] = total, n_blocks, page_linked / max(page_letters, 1)
        row[at + 8] = node >= 0 and inside[node]
        row[at + 9] = steps[node] if node >= 0 and best >= 0 else -1
        row[at + 10] = sums[best, N_LINKED] / max(sums[best, N_LETTERS], 1) if best >= 0 else -1
        row[at + 11] = nodes[node, DEPTH] if node >= 0 else 0
        row[at + 12], row[at + 13] = counts[places[b]], letters[places[b]] / max(text, 1)
        row[at + 14], row[at + 15], row[at + 16] = since, seen_h1, heading
        row[at + 17], row[at + 19] = all_h1, articles
        row[at + 18] = number[node] if node >= 0 else 0
        held = node >= 0 and outer[node] >= 0
        row[at + 20] = sums[outer[node], N_MASS] / max(total, 1) if held else -1
        row[at + 21] = top_steps[node] if node >= 0 and top >= 0 else -1
        row[at + 22] = node >= 0 and in_top[node]
        row[at + 23], row[at + 24] = top_mass / max(total, 1), since_h1
        _ancestors(nodes, node, 32, cues, row, at + len(PAGE))
        before += mass
        if para:
            last_para = b
        heading = headings >> tag & 1
        since = 0 if heading else since + block[LETTERS]
        since_h1 = 0 if tag == h1 else since_h1 + block[LETTERS]
        seen_h1 += tag == h1
    next_para = -1
    for b in range(n_blocks - 1, -1, -1):
        out[b, first + 4] = min(next_para - b, 30) if next_para >= 0 else 31
        if _is_para(blocks[b]):
            next_para = b
