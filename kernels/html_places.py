"""Where blocks of a page stand in lists, tables and headings: what their text is set by.

In: the arrays of `kernels.html_blocks.scan`. Out: a row of numbers a block; -1 or 0 where it stands in no such element.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from kernels.compile import kernel
from kernels.html_blocks import NODE, PARENT, TAG

# columns: node of the innermost <li>, its number in an <ol> (0 in others), how many lists are around it; nodes of the innermost
# cell, row and table; level of a heading; node of <pre>; how many quotes are around; node of the outermost list
ITEM, NUMBER, LISTS, CELL, ROW, TABLE, HEADING, PRE, QUOTES, LIST, COLUMNS = range(11)


@kernel
def places(nodes, n_nodes, blocks, n_blocks, tags, out):
    """Fills `out`, int64 (n_blocks, COLUMNS). tags: ids of li, ul, ol, td, th, tr, table, h1, h6, pre, blockquote, menu, dir."""
    li, ul, ol, td, th, tr, table, h1, h6, pre, quote, menu, dir_ = tags
    numbers, counts = np.zeros(n_nodes + 1, np.int64), np.zeros(n_nodes + 1, np.int64)
    for node in range(n_nodes):
        parent = nodes[node, PARENT]
        if nodes[node, TAG] == li and parent >= 0:
            counts[parent] += 1
            numbers[node] = counts[parent] if nodes[parent, TAG] == ol else 0
    for b in range(n_blocks):
        row = out[b]
        row[:] = 0
        row[ITEM] = row[CELL] = row[ROW] = row[TABLE] = row[PRE] = row[LIST] = -1
        node = blocks[b, NODE]
        while node >= 0:
            tag = nodes[node, TAG]
            if tag == li and row[ITEM] < 0:
                row[ITEM], row[NUMBER] = node, numbers[node]
            elif tag in (ul, ol, menu, dir_):
                row[LISTS] += 1
                row[LIST] = node
            elif (tag in (td, th)) and row[CELL] < 0:
                row[CELL] = node
            elif tag == tr and row[ROW] < 0:
                row[ROW] = node
            elif tag == table and row[TABLE] < 0:
                row[TABLE] = node
            elif h1 <= tag <= h6 and row[HEADING] == 0:
                row[HEADING] = tag - h1 + 1
            elif tag == pre and row[PRE] < 0:
                row[PRE] = node
            elif tag == quote:
                row[QUOTES] += 1
            node = nodes[node, PARENT]
