"""Edits that take lines out of a text.

c4_lines   "Menu\\nHome\\nThis line is a sentence.[12]"  ->  "This line is a sentence."
"""

import pyarrow as pa

from filters.registry import edit
from filters.texts import Texts


@edit(source="Raffel et al. 2020 (C4), section 2.2; TensorFlow Datasets c4_utils")
def c4_lines(
    texts: Texts,
    *,
    terminal_punctuation: bool = True,
    min_words: int = 3,
    max_word_length: int = 1000,
    javascript: bool = True,
    policy: bool = True,
    citations: bool = True,
) -> pa.Array:
    """Keep the lines that look like sentences: the line rules of C4.

    A line goes out that has a word longer than `max_word_length` characters; does not end in . ? ! " or ' or
    ends in an ellipsis (`terminal_punctuation`); has fewer than `min_words` words between white space;
    mentions JavaScript (`javascript`), or cookies and terms of use (`policy`). Marks such as [12] and
    [citation needed] are cut out of the lines that stay (`citations`). Lines are stripped and joined by line
    feeds; nothing left gives "".

    C4 looks for "lorem ipsum" and curly brackets in these lines too and drops the page; here that is left to
    the rules of configs/rules/c4.yaml on what remains, so a page whose only such line goes out for another
    reason stays.
    """

    from filters.kinds import kind_table
    from kernels.c4 import Options, keep_lines

    options = Options(
        bool(terminal_punctuation),
        int(min_words),
        int(max_word_length),
        bool(javascript),
        bool(policy),
        bool(citations),
    )
    spans = texts.spans
    offsets, data = keep_lines(spans.starts, spans.ends, spans.data, kind_table(), options)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(data))
