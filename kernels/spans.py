"""Runs of tokens that stand at several places: anchors to find them by, hashes of windows, texts without them.

What is compared and cut is written in `dedup.substrings`; tokens are those of `kernels.shingles`; the twin is
`dedup.plain_cuts`.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import CLASS_MASK, CLASS_SHIFT, SPACE, decode
from kernels.shingles import MARK, RUN, SEPARATOR, shingle_hashes, token_sums

_0, _1 = np.uint64(0), np.uint64(1)
_OTHER = np.uint64(0xA0761D6478BD642F)  # makes other numbers of the same tokens, for the second half of a window's hash


@part
def _longest(offsets, low, high):
    longest = 0
    for row in range(low, high):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@part
def _least(values, first, behind):
    """The place of the smallest of values[first:behind], the first of equals."""
    best = first
    for at in range(first + 1, behind):
        if values[at] < values[best]:
            best = at
    return best


@kernel
def anchor_rows(offsets, data, low, high, k, gram, table, drawn, letters, hashes, rows, places):
    """The anchors of the rows [low, high): of each window of k tokens the run of `gram` tokens in it with the smallest
    hash. Fills `hashes` (uint64), `rows` (int64, from low) and `places` (int64, tokens), each with a place for each
    second byte of the rows; returns how many."""
    words = np.empty(_longest(offsets, low, high) // 2 + 2, np.uint64)
    found = np.int64(0)
    for row in range(low, high):
        count = np.int64(
            token_sums(data, np.uint64(offsets[row]), np.uint64(offsets[row + 1]), table, drawn, letters, words)
        )
        if count < k:
            continue
        shingle_hashes(words, count, gram, _0)
        wide, best = k - gram + 1, np.int64(-1)
        for window in range(count - k + 1):
            last = best
            if best < window:
                best = _least(words, window, window + wide)
            elif words[window + wide - 1] < words[best]:
                best = window + wide - 1
            if best != last:
                hashes[found], rows[found], places[found] = words[best], row - low, best
                found += 1
    return found


@kernel
def window_rows(offsets, data, chosen, ends, anchors, k, gram, table, drawn, letters, hashes, rows, places):
    """The windows of k tokens whose anchor is given: `chosen` (int64) are rows, ends[i] is where the anchors of the
    i-th end in `anchors` (int64, sorted in each row). Fills `hashes` (uint64 (n, 2)), `rows` (int64, into `chosen`)
    and `places` (int64); returns how many, of which the caller vouches that there is room."""
    longest = 0
    for row in chosen:
        longest = max(longest, offsets[row + 1] - offsets[row])
    room = longest // 2 + 2
    words, first, second = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    found, anchor = np.int64(0), np.int64(0)
    for i in range(len(chosen)):
        start, end = np.uint64(offsets[chosen[i]]), np.uint64(offsets[chosen[i] + 1])
        count = np.int64(token_sums(data, start, end, table, drawn, letters, words))
        for at in range(count):
            first[at] = words[at]
            second[at] = words[at] ^ _OTHER
        if count >= k:
            shingle_hashes(words, count, gram, _0)
            shingle_hashes(first, count, k, _0)
            shingle_hashes(second, count, k, _0)
        wide, best = k - gram + 1, np.int64(-1)
        for window in range(count - k + 1):
            if best < window:
                best = _least(words, window, window + wide)
            elif words[window + wide - 1] < words[best]:
                best = window + wide - 1
            while anchor < ends[i] and anchors[anchor] < best:
                anchor += 1
            if anchor < ends[i] and anchors[anchor] == best:
                hashes[found, 0], hashes[found, 1] = first[window], second[window]
                rows[found], places[found] = i, window
                found += 1
        anchor = ends[i]
    return found


@part
def _token_places(data, start, end, table, firsts, behinds):
    """Where each token of data[start:end] begins and ends; how many."""
    count, kind = np.int64(0), SEPARATOR
    at = start
    while at < end:
        code, after = decode(data, at, end)
        found = np.uint64(table[code]) >> CLASS_SHIFT & CLASS_MASK
        if found == SEPARATOR:
            kind = SEPARATOR
        elif found == MARK:
            if kind != SEPARATOR:
                behinds[count - 1] = after
        elif found == RUN and kind == RUN:
            behinds[count - 1] = after
        else:
            firsts[count], behinds[count] = at, after
            count += 1
            kind = found
        at = after
    return count


@part
def _behind_punctuation(data, at, end, first, start, table, opening):
    """Where a cut of tokens that begins at `first` and whose last token ends at `at` ends: behind the punctuation
    that closes it and the white space then, unless a line would be joined to what stands before."""
    while at < end:
        code, after = decode(data, at, end)
        entry = np.uint64(table[code])
        if entry >> CLASS_SHIFT & CLASS_MASK != SEPARATOR or entry & SPACE or opening[code]:
            break
        at = after
    blank, feed = at, False
    while blank < end:
        code, after = decode(data, blank, end)
        if not np.uint64(table[code]) & SPACE:
            break
        feed |= code == np.uint64(10)
        blank = after
    at_line_start = first == start or data[first - _1] == 10
    return blank if at_line_start or not feed else at


@kernel
def cut_windows(offsets, data, chosen, ends, windows, k, table, opening, out, out_ends, spans):
    """Texts of the rows `chosen` (int64) without the tokens that their `windows` (int64 first tokens, sorted in each
    row; those of the i-th end at ends[i]) cover. Fills `out` (uint8), `out_ends` (int64) and `spans` (int64 (n, 4):
    number in `chosen`, first byte and last + 1 in its text, tokens), of which there are at most as many as windows;
    returns how many."""
    longest = 0
    for row in chosen:
        longest = max(longest, offsets[row + 1] - offsets[row])
    firsts, behinds = np.empty(longest // 2 + 2, np.uint64), np.empty(longest // 2 + 2, np.uint64)
    found, window, written = np.int64(0), np.int64(0), np.int64(0)
    for i in range(len(chosen)):
        start, end = np.uint64(offsets[chosen[i]]), np.uint64(offsets[chosen[i] + 1])
        count = _token_places(data, start, end, table, firsts, behinds)
        copied = start
        while window < ends[i]:
            token = windows[window]
            behind = min(token + k, count)
            while window < ends[i] and windows[window] <= behind:
                behind = min(windows[window] + k, count)
                window += 1
            cut = firsts[token]
            stop = _behind_punctuation(data, behinds[behind - 1], end, cut, start, table, opening)
            for at in range(copied, cut):
                out[written] = data[np.uint64(at)]
                written += 1
            spans[found, 0], spans[found, 1] = i, np.int64(cut - start)
            spans[found, 2], spans[found, 3] = np.int64(stop - start), behind - token
            found += 1
            copied = stop
        for at in range(copied, end):
            out[written] = data[np.uint64(at)]
            written += 1
        out_ends[i] = written
    return found
