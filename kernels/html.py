"""What a page would cost an HTML parser, from one look at its bytes: how deep its elements lie and how many there are.

    "<ul><li><b>one<li>two</ul>"   ->   depth 3, nodes 5 (ul, li, b, li, and b again: it is still open in the second li)

html, head and body are not counted.

Elements are followed as the standard's tree builder does (WHATWG HTML, section 13.2.6), as far as depth and number hang on
it: void elements, end tags that may be left out, end tags without a start, raw text, and formatting elements (<b>, <font>
...) that are opened anew, by text and by most start tags, in each block behind the one that they were left open in (section
13.2.4.3; a cell or an <object> keeps its own list of them). That last rule makes n * m elements of n + m tags; so counting
stops at the limits. The oracle of the tests is the parser itself.
"""

from __future__ import annotations

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import fnv
from kernels.memory import get, pointer, put

VOID = 1  # has no content
RAW = 2  # its content is text up to its end tag
FORMAT = 4  # opened anew where it was left open
CLOSES_P = 8  # its start tag ends a paragraph
WALL = 16  # an end tag of what lies outside does not reach into it
FOREIGN = 32  # inside it "/>" is an end
OWN = 64  # its end tag goes through walls
LI, DD, CELL, ROW, OPTION = 128, 256, 512, 1024, 2048  # a start tag ends an open one of the same kind
LIST, TABLE = 4096, 8192  # ... unless one of these lies between
ONE = 16384  # its start tag ends an open one of the same name, wherever it is
SECTION = 32768  # of a table
HEADING = 65536  # ends an open one that it stands directly in
ALONE = 131072  # its end tag ends it, and not what is open inside it
NO_TAG = 262144  # the parser has one of them already: start and end change nothing
QUIET = 524288  # its start tag opens nothing anew
MARKER = 1048576  # nothing from outside is opened anew inside it, and at its end what was left open inside is forgotten
OPENS = 2097152  # its end tag is a start tag

TABLE_SIZE = 1024  # of the names' table, a power of two, several times the number of names
SAME = 3  # equal formatting elements that are opened anew


@part
def behind_name(data, at, end):
    """Behind the tag name that begins at data[at]."""
    while at < end:
        byte = get(data, at)
        if byte <= 32 and byte in (9, 10, 12, 13, 32):
            break
        if byte in (47, 62):
            break
        at += 1
    return at


@part
def _hashed(data, start, end):
    """A hash of the name data[start:end] in lower case; never 0."""
    return fnv(data, start, end) | np.uint64(1)


@part
def _flags(name, names, flags):
    """The bits of a name; 0 for one that is not in the table."""
    slot = np.int64(name & np.uint64(TABLE_SIZE - 1))
    while get(names, slot) != np.uint64(0):
        if get(names, slot) == name:
            return np.int64(get(flags, slot))
        slot = (slot + 1) & (TABLE_SIZE - 1)
    return np.int64(0)


@part
def _tag_end(data, at, end):
    """(behind the ">" of a tag whose name ends at `at`, its attributes, whether it ends in "/>")."""
    attributes = 0
    before = 32
    while at < end:
        byte = get(data, at)
        if byte == 62:
            return at + 1, attributes, before == 47
        if byte == 61 and at + 1 < end:  # a value, in quotes or bare
            at += 1
            while at < end and get(data, at) in (9, 10, 12, 13, 32):
                at += 1
            if at < end and get(data, at) in (34, 39):
                quote = get(data, at)
                at += 1
                while at < end and get(data, at) != quote:
                    at += 1
                at += 1
            else:
                while at < end and get(data, at) not in (9, 10, 12, 13, 32, 62):
                    at += 1
            before = 32
            continue
        blank = byte in (9, 10, 12, 13, 32, 47)
        if not blank and before in (9, 10, 12, 13, 32, 47):
            attributes += 1
        before = byte
        at += 1
    return end, attributes, False


@part
def _behind_mark(data, at, end):
    """Behind a comment, a doctype or the like, whose "<" is at data[at - 1] and "!" or "?" at data[at]."""
    if at + 2 < end and get(data, at) == 33 and get(data, at + 1) == 45 and get(data, at + 2) == 45:
        at += 3
        if at < end and get(data, at) == 62:
            return at + 1
        if at + 1 < end and get(data, at) == 45 and get(data, at + 1) == 62:
            return at + 2
        while at + 2 < end:
            if get(data, at) == 45 and get(data, at + 1) == 45:
                if get(data, at + 2) == 62:
                    return at + 3
                if get(data, at + 2) == 33 and at + 3 < end and get(data, at + 3) == 62:
                    return at + 4
            at += 1
        return end
    while at < end and get(data, at) != 62:
        at += 1
    return at + 1


@part
def _behind_raw(data, at, end, name, length):
    """Where the end tag of a raw element begins; `end` if there is none."""
    while at + length + 1 < end:
        if get(data, at) == 60 and get(data, at + 1) == 47:
            stop = behind_name(data, at + 2, min(end, at + 2 + length + 1))
            if stop - at - 2 == length and _hashed(data, at + 2, stop) == name:
                return at
        at += 1
    return end


@part
def _leave(stack, marks, depth, to, loose, count, base):
    """Close elements down to height `to`; formatting elements among them are left open: (how many are, where those begin that
    may be opened anew here), with `count` and `base` before.

    `loose` holds those since, as (name, identity) one behind the other; of equal ones it keeps SAME. Of a MARKER the
    second of `marks` is `base` outside it.
    """
    for height in range(depth - 1, to - 1, -1):
        if get(marks, 2 * height) & MARKER:
            count, base, depth = base, get(marks, 2 * height + 1), height
    for height in range(to, depth):
        if get(marks, 2 * height) & FORMAT:
            identity = get(marks, 2 * height + 1)
            same = 0
            for i in range(base, count):
                same += get(loose, 2 * i + 1) == identity
            if same < SAME:
                put(loose, 2 * count, np.int64(get(stack, height)))
                put(loose, 2 * count + 1, identity)
                count += 1
    return count, base


@part
def _anew(stack, marks, depth, most_depth, loose, count, base):
    """Open what was left open: (depth, count) then."""
    while count > base and depth <= most_depth:
        count -= 1
        put(stack, depth, np.uint64(get(loose, 2 * count)))
        put(marks, 2 * depth, FORMAT)
        put(marks, 2 * depth + 1, get(loose, 2 * count + 1))
        depth += 1
    return depth, count


@part
def _open_kind(stack, marks, depth, kind, walls):
    """Height of the nearest open element of a kind that no element of `walls` stands before; -1 if there is none."""
    for back in range(depth):
        height = depth - 1 - back
        bits = get(marks, 2 * height)
        if bits & kind:
            return height
        if bits & walls:
            return -1
    return -1


@part
def _open_name(stack, marks, depth, name, through):
    """Height of the nearest open element of a name; a wall before it ends the search unless `through`."""
    for back in range(depth):
        height = depth - 1 - back
        if get(stack, height) == name:
            return height
        if get(marks, 2 * height) & WALL and not through:
            return -1
    return -1


@part
def _implied(bits, stack, marks, depth, p):
    """Height down to which a start tag closes what stands open; `depth` if nothing."""
    to = depth
    if bits & CLOSES_P:
        found = _open_name(stack, marks, depth, p, False)
        to = found if found >= 0 else to
    for kind, walls in (
        (LI, LIST | WALL),
        (DD, LIST | WALL),
        (OPTION, WALL),
        (CELL, TABLE),
        (ROW, TABLE),
        (SECTION, TABLE),
    ):
        if bits & kind:
            found = _open_kind(stack, marks, depth, kind, walls)
            if found < 0 and kind == SECTION:
                found = _open_kind(stack, marks, depth, ROW, walls)
            if found < 0 and kind in (ROW, SECTION):
                found = _open_kind(stack, marks, depth, CELL, walls)
            to = min(to, found) if found >= 0 else to
    return to


@part
def _take_out(stack, marks, depth, height):
    """The element at `height` ends, those inside it stay open."""
    for moved in range(height, depth - 1):
        put(stack, moved, get(stack, moved + 1))
        put(marks, 2 * moved, get(marks, 2 * moved + 2))
        put(marks, 2 * moved + 1, get(marks, 2 * moved + 3))


@part
def _forget(loose, count, base, name):
    """The last left open element of a name ends, if there is one behind `base`; how many are left."""
    for i in range(count - 1, base - 1, -1):
        if np.uint64(get(loose, 2 * i)) == name:
            for moved in range(2 * i, 2 * count - 2):
                put(loose, moved, get(loose, moved + 2))
            return count - 1
    return count


@kernel
def scan(data, start, end, names, flags, p, most_depth, most_nodes, stack, marks, loose):
    """(depth, nodes, attributes) of the page data[start:end]; counting stops where one of the first two is over its limit.

    `names` and `flags`: the table of names. `p`: the name of the paragraph. Scratch: `stack` uint64 (most_depth + 2,),
    `marks` int64 twice as many, `loose` int64 (2 * (SAME + 1) * most_depth + 4,). `attributes` is the most of one tag.
    """
    source, known, bits_of = pointer(data), pointer(names), pointer(flags)
    open_, kinds, left = pointer(stack), pointer(marks), pointer(loose)
    depth = deepest = nodes = most = count = base = foreign = 0
    room = len(loose) // 2 - most_depth - 2
    at = start
    while at < end:
        byte = get(source, at)
        if byte != 60:
            # text; blanks between the parts of a table are none
            if count > base and (byte > 32 or not (depth and get(kinds, 2 * depth - 2) & (TABLE | ROW | SECTION))):
                nodes -= depth
                depth, count = _anew(open_, kinds, depth, most_depth, left, count, base)
                nodes += depth
                deepest = max(deepest, depth)
            at += 1
        else:
            at += 1
            if at >= end:
                break
            byte = get(source, at)
            closes = byte == 47
            if byte in (33, 63):
                at = _behind_mark(source, at, end)
                continue
            first = at + 1 if closes else at
            if first >= end or not (65 <= get(source, first) <= 90 or 97 <= get(source, first) <= 122):
                continue
            stop = behind_name(source, first, end)
            name = _hashed(source, first, stop)
            bits = _flags(name, known, bits_of)
            at, attributes, empty = _tag_end(source, stop, end)
            most = max(most, attributes)
            if bits & NO_TAG or (bits & (CELL | ROW | SECTION) and _open_kind(open_, kinds, depth, TABLE, 0) < 0):
                continue
            if closes and not bits & OPENS:
                height = _open_name(open_, kinds, depth, name, bits & OWN)
                if height >= 0 and bits & (FORMAT | ALONE):
                    _take_out(open_, kinds, depth, height)
                    depth -= 1
                elif height >= 0:
                    count, base = _leave(open_, kinds, depth, height, left, count, base)
                    for above in range(height, depth):
                        foreign -= 1 if get(kinds, 2 * above) & FOREIGN else 0
                    depth = height
                elif bits & FORMAT:
                    count = _forget(left, count, base, name)
                continue
            nodes += 1
            if bits & ONE:
                height = _open_name(open_, kinds, depth, name, False)
                if height >= 0:
                    _take_out(open_, kinds, depth, height)
                    depth -= 1
                else:
                    count = _forget(left, count, base, name)
            if bits & HEADING and depth and get(kinds, 2 * depth - 2) & HEADING:
                depth -= 1
            to = _implied(bits, open_, kinds, depth, p)
            count, base = _leave(open_, kinds, depth, to, left, count, base)
            depth = to
            if count > base and foreign <= 0 and not bits & QUIET:
                nodes -= depth
                depth, count = _anew(open_, kinds, depth, most_depth, left, count, base)
                nodes += depth
                deepest = max(deepest, depth)
            if bits & VOID or (empty and foreign > 0):
                deepest = max(deepest, depth + 1)
            else:
                put(open_, depth, name)
                put(kinds, 2 * depth, bits)
                if bits & MARKER:
                    put(kinds, 2 * depth + 1, base)
                    base = count
                else:
                    put(kinds, 2 * depth + 1, np.int64(_hashed(source, first, at)))
                depth += 1
                deepest = max(deepest, depth)
                foreign += 1 if bits & FOREIGN else 0
                if bits & RAW and foreign <= 0:
                    at = _behind_raw(source, at, end, name, stop - first)
        if count > room:  # more than may lie inside one another, and the next text would open them all
            deepest = max(deepest, most_depth + 1)
        if depth > most_depth or nodes > most_nodes or count > room:
            break
    return deepest, nodes, most
