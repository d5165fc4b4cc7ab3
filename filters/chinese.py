"""An edit that writes Chinese text in simplified characters.

simplify_chinese   "漢字簡體與皇后，理髮"   ->   "汉字简体与皇后，理发"

The work is OpenCC's (opencc on PyPI), which knows phrases, not only characters. It is no dependency: pip install 'gristmill[chinese]'.
"""

import functools
from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import edit
from filters.rows import edit_rows
from filters.texts import Texts

# Japanese: a kana for ten Han characters at least (a page of it has about as many kana as Han)
_KANA_PER_HAN = 0.1
_KANA = r"[\p{Hiragana}\p{Katakana}]"
_HAN = r"\p{Han}"


@edit(source="OpenCC (BYVoid), dictionaries t2s, tw2s, tw2sp, hk2s")
def simplify_chinese(texts: Texts, *, conversion: Literal["t2s", "tw2s", "tw2sp", "hk2s"] = "t2s") -> pa.Array:
    """Traditional Chinese characters to simplified ones (OpenCC).

    `conversion`: "t2s" for any traditional text, "tw2s" and "hk2s" for the forms of Taiwan and Hong Kong, "tw2sp" also changes
    words (滑鼠 to 鼠标). Only texts with Han characters are touched, and not those that look Japanese (a kana for every ten
    Han characters or more). Null stays null. Errors: ValueError if OpenCC is not installed.
    """
    convert = _converter(conversion)
    han = pc.count_substring_regex(texts.array, _HAN)
    kana = pc.count_substring_regex(texts.array, _KANA)
    chinese = pc.less(pc.cast(kana, pa.float64()), pc.multiply(pc.cast(han, pa.float64()), _KANA_PER_HAN))
    return edit_rows(texts, chinese, convert)


@functools.cache
def _converter(conversion: str) -> Callable[[str], str]:
    try:
        import opencc
    except ImportError:
        raise ValueError(
            "simplify_chinese needs OpenCC, which is not installed. Next: pip install 'gristmill[chinese]' (or: pip install opencc)"
        ) from None
    return opencc.OpenCC(conversion).convert
