"""The blocks of a page: runs of text between block-level tags, with what is around them.

In: mark-up as an HTML5 serialiser writes it (every element closed, attribute values in double quotes, `<` in text only as an
entity), so that one pass over the bytes and a stack are all it takes. Out: arrays, filled from the front.

    <div class="post"><h1>Mills</h1><p>They <b>grind</b>.</p></div>
    -> nodes  div(parent -1, cues CONTENT), h1(parent 0), p(parent 0)
       blocks "Mills"(node h1), "They <b>grind</b>."(node p)

Text in elements that nobody reads (script, style, form fields, hidden ones ...) and in comments is in no block; where such a thing stands
inside a block, `drops` says from where to where.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import fnv
from kernels.html import behind_name
from kernels.memory import pointer

# flags of a tag
BLOCK, VOID, DROP, RAW, LINK, BREAK, STRONG = 1, 2, 4, 8, 16, 32, 64

# columns of `nodes`, int32
PARENT, TAG, CUES, DEPTH, SIGN, NODE_COLUMNS = 0, 1, 2, 3, 4, 5

# columns of `blocks`, int64: markup[START:END], the block-level element around it, and counts
(
    START,
    END,
    NODE,
    LETTERS,
    WORDS,
    LINKED,
    LINKS,
    MARKS,
    TERMINAL,
    DIGITS,
    CAPITALS,
    STRONG_LETTERS,
    ENDS,
    BREAKS,
    BLOCK_COLUMNS,
) = range(15)

MAX_DEPTH = 512

# what a byte of text is
SPACE, LETTER, DIGIT, CAPITAL, MARK, STOP, OTHER = 0, 1, 2, 3, 4, 5, 6


def byte_kinds() -> np.ndarray:
    """Kind of each ASCII byte; 128 and up are looked at by their lead byte."""
    kinds = np.full(256, OTHER, np.uint8)
    for byte in range(128):
        char = chr(byte)
        kinds[byte] = (
            SPACE if char in " \t\n\r\f"
            else DIGIT if char.isdigit()
            else CAPITAL if char.isupper()
            else LETTER if char.isalpha() or char == "_"
            else STOP if char in ".!?"
            else MARK if char in ",;:"
            else OTHER
        )  # fmt: skip
    return kinds


KINDS = byte_kinds()


@part
def _find(keys, values, wanted):
    """values of a key in an open-addressed table of a power of two of places; 0 if it is not in it."""
    mask = np.uint64(len(keys) - 1)
    at = (wanted ^ (wanted >> np.uint64(32))) & mask
    while keys[at] != 0:
        if keys[at] == wanted:
            return values[at]
        at = (at + np.uint64(1)) & mask
    return 0


@part
def _cues(data, start, end, keys, values):
    """The cues of the words in an attribute's value: parts between other signs and at a capital behind a small letter."""
    found = 0
    begin = start
    for at in range(start, end + 1):
        byte = data[at] if at < end else 32
        letter = 97 <= byte <= 122 or 65 <= byte <= 90
        camel = letter and byte <= 90 and at > begin and 97 <= data[at - 1] <= 122
        if letter and not camel:
            continue
        if at - begin > 1:
            found |= _find(keys, values, fnv(pointer(data), begin, at))
        begin = at if camel else at + 1
    return found


@part
def _value_end(data, at, end):
    while at < end and data[at] != 34:
        at += 1
    return at


@part
def _is(data, at, end, word):
    """data[at:end] is `word` (uint8 array), upper and lower case alike."""
    if end - at != len(word):
        return False
    for i in range(len(word)):
        byte = data[at + i]
        if (byte + 32 if 65 <= byte <= 90 else byte) != word[i]:
            return False
    return True


@part
def _holds(data, at, end, word):
    """`word` stands in data[at:end], white space left out."""
    matched = 0
    for i in range(at, end):
        byte = data[i]
        if byte == 32:
            continue
        byte = byte + 32 if 65 <= byte <= 90 else byte
        matched = matched + 1 if byte == word[matched] else (1 if byte == word[0] else 0)
        if matched == len(word):
            return True
    return False


@part
def _attributes(data, at, end, keys, values, words):
    """(where the tag ends, behind its ">"; cues of class, id, role, itemprop; hidden; hash of the class)."""
    cues, hidden, sign = 0, False, np.uint64(0)
    while at < end and data[at] != 62:
        if data[at] <= 32 or data[at] == 47:
            at += 1
            continue
        name = at
        while at < end and data[at] != 61 and data[at] != 62 and data[at] > 32:
            at += 1
        name_end, value, value_end = at, at, at
        if at + 1 < end and data[at] == 61 and data[at + 1] == 34:
            value = at + 2
            value_end = _value_end(data, value, end)
            at = value_end + 1
        elif at < end and data[at] == 61:  # no quote: not from a serialiser
            at += 1
        size = name_end - name
        if size == 5 and _is(data, name, name_end, words[0]):  # class
            cues |= _cues(data, value, value_end, keys, values)
            sign = fnv(pointer(data), value, value_end)
        elif (
            (size == 2 and _is(data, name, name_end, words[1]))
            or (size == 4 and _is(data, name, name_end, words[2]))
            or (size == 8 and _is(data, name, name_end, words[3]))
        ):  # id, role, itemprop
            cues |= _cues(data, value, value_end, keys, values)
        elif size == 6 and _is(data, name, name_end, words[4]):  # hidden
            hidden = True
        elif size == 11 and _is(data, name, name_end, words[5]):  # aria-hidden
            hidden |= _is(data, value, value_end, words[6])
        elif size == 5 and _is(data, name, name_end, words[7]):  # style
            hidden |= _holds(data, value, value_end, words[8]) or _holds(data, value, value_end, words[9])
    return at + 1, cues, hidden, sign


@part
def _raw_end(data, at, end, name, name_end):
    """Where "</name" begins."""
    size = name_end - name
    while at + size + 2 <= end:
        if data[at] == 60 and data[at + 1] == 47:
            same = True
            for i in range(size):
                byte = data[at + 2 + i]
                if (byte + 32 if 65 <= byte <= 90 else byte) != data[name + i]:
                    same = False
                    break
            if same:
                return at
        at += 1
    return end


@part
def _comment_end(data, at, end):
    while at + 2 < end:
        if data[at] == 45 and data[at + 1] == 45 and data[at + 2] == 62:
            return at + 3
        at += 1
    return end


@part
def _wide(data, at):
    """(kind, letters) of the character of three bytes or more that begins at `at`."""
    lead, second = data[at], data[at + 1]
    if lead == 0xE2 and second == 0x80:
        return OTHER, 0  # quotes, dashes
    if lead == 0xE3 and second == 0x80:  # ideographic space, 、 and 。
        third = data[at + 2]
        return (SPACE if third == 0x80 else STOP if third == 0x82 else MARK if third == 0x81 else OTHER), 0
    if lead == 0xEF and second == 0xBC:  # ！ ， ： ； ？ and full-width letters
        third = data[at + 2]
        if third == 0x81 or third == 0x9F:
            return STOP, 0
        return (MARK if third == 0x8C or third == 0x9A or third == 0x9B else OTHER), 0
    if 0xE3 <= lead <= 0xED:
        return LETTER, 2  # a Han, kana or Hangul character says about as much as two letters
    return LETTER, 1


@part
def _entity_end(data, at, end):
    stop = min(at + 10, end)
    for i in range(at + 1, stop):
        if data[i] == 59:
            return i + 1
    return at + 1


@part
def _count(data, at, end, kinds, row, linked, strong, in_word):
    """Counts the text data[at:end] into the block `row`. Returns whether it ends inside a word."""
    letters = 0
    while at < end:
        byte = data[at]
        if byte == 38:
            at = _entity_end(data, at, end)
            in_word = False
            continue
        kind = kinds[byte]
        if byte >= 128:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            kind, size = (LETTER, 1) if width == 2 else _wide(data, at)
            at += width
            if kind == LETTER:
                row[WORDS] += size == 2 or not in_word
                letters += size
                in_word = size == 1
                row[ENDS] = 0
                continue
        else:
            at += 1
        if kind == SPACE:
            in_word = False
            continue
        if LETTER <= kind <= CAPITAL:
            if not in_word:
                row[WORDS] += 1
                row[CAPITALS] += kind == CAPITAL
            row[DIGITS] += kind == DIGIT
            letters += 1
            in_word = True
            row[ENDS] = 0
            continue
        in_word = False
        if kind == STOP:
            row[TERMINAL] += 1
            row[ENDS] = 1
        elif kind == MARK:
            row[MARKS] += 1
            row[ENDS] = 0
    row[LETTERS] += letters
    if linked:
        row[LINKED] += letters
    if strong:
        row[STRONG_LETTERS] += letters
    return in_word


@kernel
def scan(data, size, tag_keys, tag_values, cue_keys, cue_values, kinds, words, nodes, blocks, drops):
    """Fills `nodes` and `blocks` from the first `size` bytes of `data`, which go on with some more that can be read.

    nodes int32 (n, NODE_COLUMNS), blocks int64 (m, BLOCK_COLUMNS), zeros; a row more of each than there are "<" is enough.
    drops int64 (n, 2): [begin, end) of what is not read (dropped elements, comments), ascending, none inside another.
    tag_values: id << 8 | flags. Returns how many nodes, blocks and drops there are.
    """
    stack = np.empty(MAX_DEPTH, np.int64)  # nodes of open elements; -1 for inline ones
    ids = np.empty(MAX_DEPTH, np.int64)
    depth = n_nodes = n_blocks = at = 0
    n_drops = drop_start = 0
    drop_depth = -1  # depth of the outermost open element whose text is not read
    linked = strong = 0
    node = -1
    in_word, breaks = False, 0
    row = blocks[0]
    row[NODE], row[START] = -1, 0
    while at < size:
        if data[at] != 60:
            begin = at
            while at < size and data[at] != 60:
                at += 1
            if drop_depth < 0:
                before = row[LETTERS]
                in_word = _count(data, begin, at, kinds, row, linked > 0, strong > 0, in_word)
                if row[LETTERS] > before:
                    breaks = 0
            continue
        tag_start = at
        if data[at + 1] == 33:
            at = _comment_end(data, at + 2, size)
            if drop_depth < 0:
                drops[n_drops, 0], drops[n_drops, 1] = tag_start, at
                n_drops += 1
            continue
        closing = data[at + 1] == 47
        name = at + 1 + closing
        name_end = behind_name(pointer(data), name, size)
        known = _find(tag_keys, tag_values, fnv(pointer(data), name, name_end))
        custom = False
        if known == 0:
            for i in range(name, name_end):
                custom |= data[i] == 45
        flags = (known & 255) if known else (BLOCK if custom else 0)
        tag = known >> 8
        if closing:
            at = name_end
            while at < size and data[at] != 62:
                at += 1
            at += 1
            key = tag if tag else -(name_end - name)
            match = depth - 1
            while match >= 0 and ids[match] != key:
                match -= 1
            if match < 0:
                continue
            ends_block = False
            while depth > match:
                depth -= 1
                if stack[depth] >= 0:
                    ends_block = True
                    node = nodes[stack[depth], PARENT]
                if ids[depth] == tag and flags & LINK and linked > 0:
                    linked -= 1
                if ids[depth] == tag and flags & STRONG and strong > 0:
                    strong -= 1
                if drop_depth == depth:
                    drop_depth = -1
                    drops[n_drops, 0], drops[n_drops, 1] = drop_start, at
                    n_drops += 1
            if ends_block and drop_depth < 0:
                n_blocks, row = _next_block(blocks, n_blocks, row, tag_start, at, node)
                in_word, breaks = False, 0
            continue
        at, cues, hidden, sign = _attributes(data, name_end, size, cue_keys, cue_values, words)
        if flags & BREAK:
            breaks += 1
            in_word = False
            if drop_depth < 0:
                row[BREAKS] += 1
                if breaks == 2:
                    n_blocks, row = _next_block(blocks, n_blocks, row, tag_start, at, node)
            continue
        if flags & VOID:
            if flags & BLOCK and drop_depth < 0:
                n_blocks, row = _next_block(blocks, n_blocks, row, tag_start, at, node)
                in_word = False
            continue
        if flags & RAW:
            at = _raw_end(data, at, size, name, name_end)
        if depth >= MAX_DEPTH:
            continue
        ids[depth] = tag if tag else -(name_end - name)
        stack[depth] = -1
        if flags & BLOCK and drop_depth < 0:
            parent = node
            node = n_nodes
            nodes[node, PARENT] = parent
            nodes[node, TAG] = tag
            nodes[node, CUES] = cues
            nodes[node, DEPTH] = nodes[parent, DEPTH] + 1 if parent >= 0 else 0
            nodes[node, SIGN] = np.int32(np.int64((sign ^ (sign >> np.uint64(29))) & np.uint64(0x7FFFFFFF))) ^ tag
            stack[depth] = node
            n_nodes += 1
            n_blocks, row = _next_block(blocks, n_blocks, row, tag_start, at, node)
            in_word, breaks = False, 0
        if (flags & DROP or hidden) and drop_depth < 0:
            drop_depth, drop_start = depth, tag_start
        if flags & LINK:
            linked += 1
            row[LINKS] += 1
        if flags & STRONG:
            strong += 1
        depth += 1
    n_blocks, row = _next_block(blocks, n_blocks, row, size, size, node)
    return n_nodes, n_blocks, n_drops


@part
def _next_block(blocks, count, row, end, start, node):
    """Closes the block `row` at `end` if it has text, and opens the next at `start`."""
    if row[LETTERS] > 0:
        row[END] = end
        count += 1
    row = blocks[count]
    row[:] = 0
    row[START], row[NODE] = start, node
    return count, row
