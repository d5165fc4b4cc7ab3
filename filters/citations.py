"""An edit that takes the marks of encyclopedias out of sentences.

citation_marks   "It rained.[12][citation needed] 内容【3】。"   ->   "It rained. 内容。"
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

from filters.late import late
from filters.registry import edit
from filters.rows import edit_rows
from filters.texts import Texts

_WORDS = (
    "edit|edit source|edit section|edit on wikidata|citation needed|citations needed|additional citations? needed|"
    "better source needed|full citation needed|unreliable source[?]?|verification needed|failed verification|"
    "not in citation given|page needed|quote needed|clarification needed|further explanation needed|original research[?]?|"
    "neutrality is disputed|dubious|disputed|dead link|permanent dead link|who[?]|which[?]|when[?]|where[?]|why[?]|how[?]|"
    "by whom[?]|according to whom[?]|vague|weasel words|self-published source[?]?|needs update|"
    "编辑|編輯|编辑源代码|編輯原始碼|来源请求|來源請求|需要引用|查证请求|查證請求|页码请求|頁碼請求|失效連結|失效链接|永久失效連結|"
    "原创研究[?？]|原創研究[?？]|何时[?？]|何時[?？]|谁[?？]|誰[?？]|哪裡[?？]|哪里[?？]|谁说的[?？]|可疑|"
    "Bearbeiten|Quelltext bearbeiten|modifier|modifier le code|modifica|modifica wikitesto|editar|править|править код"
)
_NUMBERS = "[1-9][0-9]{0,2}(?: ?[-–,，、] ?[1-9][0-9]{0,2}){0,7}"
_NOTES = "(?:note|notes|nb|注|註|注释|註釋|参|參|备注) ?[1-9][0-9]{0,2}"
_NAMED = rf"(?:{_NOTES}|(?:{_WORDS})(?: ?[|·] ?(?:{_WORDS}))?)"
# no look-around in a mark: RE2 reads it too
_MARK = rf"(?:\[(?:{_NUMBERS}|{_NAMED})\]|【(?:{_NUMBERS}|{_NAMED})】|［(?:{_NUMBERS}|{_NAMED})］|〔(?:{_NUMBERS}|{_NAMED})〕)"
_MARKS = late(rf"([ \u00a0]?)((?:{_MARK})+)", re.IGNORECASE)
_NUMBER_MARK = late(rf"[\[【［〔]({_NUMBERS})[\]】］〕]")
_PROGRAM = late(r"[`={}\\$<>]|^(?:    |\t)|;$")
_NAME = late(r"[_/\[\]]|[A-Za-z0-9)][.:(][A-Za-z0-9)]")  # data_set, a.b, f(x)
_CLOSING = ".,;:!?。，；：！？、…”’»」』）)%\"'"
_ENDS = ".,;!?。，；！？、…”’»」』）)%"  # what a number may stand behind; behind a colon there are values
_END_OF_SENTENCE = ".,;:!?)\"'”’»"


@edit(source="Raffel et al. 2020 (C4), section 2.2, for [12], [edit] and [citation needed]; this project")
def citation_marks(texts: Texts) -> pa.Array:
    """Take out [12], [3-5], [note 1], [edit], [citation needed], 【12】, ［编辑］, [来源请求] and the like.

    More careful than C4, which takes out every number in brackets: numbers go out only directly behind a word or the
    end of a sentence, in rising order, from 1 on; not in lines that look like program text, not in the links of Markdown.
    A blank in front of a mark goes with it where another or a mark of punctuation follows. Null stays null.
    """
    candidates = pc.match_substring_regex(texts.array, f"(?i){_MARK}")
    return edit_rows(texts, candidates, _cut)


def _cut(text: str) -> str:
    while (shorter := _MARKS.sub(_shortened, text)) != text:  # [1[2]3] takes two rounds
        text = shorter
    return text


def _shortened(found: re.Match[str]) -> str:
    text, end = found.string, found.end()
    start = text.rfind("\n", 0, found.start()) + 1
    stop = text.find("\n", end)
    line = text[start : stop if stop >= 0 else len(text)]
    head, tail = text[start : found.start()], line[end - start :]
    if tail.startswith(("[", "(")) or (not head and tail.startswith(":")) or _PROGRAM.search(line):
        return found[0]
    numbers = _NUMBER_MARK.findall(found[2])
    if numbers and not (
        not found[1] and _behind_prose(head, line) and _before_prose(tail) and all(map(_rises, numbers))
    ):
        return found[0]
    return "" if not tail or tail[0].isspace() or tail[0] in _CLOSING else found[1]


def _rises(numbers: str) -> bool:
    values = list(map(int, re.findall("[0-9]+", numbers)))
    return values == sorted(set(values))


def _behind_prose(head: str, line: str) -> bool:
    """Whether a number behind `head` can be a citation: a word of prose or the end of one stands there, no name of a program."""
    end = head[-2:-1] if head[-1:] in ("'", '"') else head[-1:]  # a quotation mark can open as well as close
    if not end or not (end.isalnum() or end in _ENDS):
        return False
    if not head[-1].isascii():
        return True
    word = head.split()[-1] if head.split() else ""
    return " " in line.strip() and not _NAME.search(word)


def _before_prose(tail: str) -> bool:
    """Whether what follows can follow a citation: nothing, a blank, the end of a sentence, a character that is not ASCII."""
    rest = tail.lstrip(_END_OF_SENTENCE)
    return not rest or rest[0].isspace() or not rest[0].isascii()
