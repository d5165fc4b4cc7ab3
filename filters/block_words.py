"""What tags and the words of class names say about a block: the vocabulary of `filters.blocks`.

Tags have an id and flags (kernels/html_blocks.py); ids below 32 are features of what a block lies in. Cues are words of `class`,
`id`, `role` and `itemprop`, in groups of one meaning; they are those of common site software and of the field's literature
(Boilerpipe, Readability, DOM Distiller name many of them).
"""

from __future__ import annotations

import functools

import numpy as np

from kernels.hashes import fnv_of
from kernels.html_blocks import BLOCK, BREAK, DROP, LINK, RAW, STRONG, VOID

_TAG_NAMES = """
- nav aside footer header article main section form table figure figcaption ul ol li dl blockquote pre details
fieldset body div p h1 h2 h3 h4 h5 h6 td th tr dt dd tbody thead tfoot caption address hr summary center html
menu dir hgroup a b strong em i code br img script style noscript template iframe object svg canvas audio
video select option button input textarea datalist dialog map area link meta source track wbr embed col
colgroup base head title param math xmp noembed noframes label legend optgroup progress meter output search
picture sup sub span tt kbd samp annotation annotation-xml
"""
_DROP_NAMES = """
script style noscript template iframe object svg canvas audio video select option button textarea datalist map
head title annotation annotation-xml noembed noframes optgroup progress meter output
"""
_VOID_NAMES = "hr br img area link meta source track wbr embed col base input param"

TAGS = _TAG_NAMES.split()
ID = {name: number for number, name in enumerate(TAGS)}
_BLOCKS = [*TAGS[1 : ID["a"]], "legend", "dialog", "search", "xmp"]
_VOIDS = _VOID_NAMES.split()
_DROPS = _DROP_NAMES.split()
_RAWS = ["script", "style", "xmp", "iframe", "noembed", "noframes"]

CUES = {
    "comment": "comment comments commentlist disqus respond reply replies discussion discussions remark remarks "
    "fbcomments livefyre",
    "share": "share sharing shares social addthis sharethis sharedaddy addtoany follow facebook twitter whatsapp "
    "pinterest linkedin sns bdsharebuttonbox",
    "related": "related recommend recommended recommendation recommendations recirc suggestions suggested similar "
    "outbrain taboola trending popular zergnet readnext upnext more readmore latest recent also yarpp jp "
    "explore",
    "promo": "ad ads adv advert adverts advertisement advertising adsense adsbygoogle adslot adbox sponsor "
    "sponsored promo promos promotion promoted promotions banner banners dfp gpt commercial affiliate "
    "offer offers deal deals marketing cta",
    "newsletter": "newsletter newsletters subscribe subscription subscriptions signup email mailing optin paywall "
    "mailchimp mc regwall register",
    "cookie": "cookie cookies consent gdpr ccpa privacy onetrust cmp cc",
    "nav": "nav navbar navigation navi menu menus submenu breadcrumb breadcrumbs crumbs topbar toolbar megamenu "
    "skip skiplink tabs menubar subnav topnav",
    "pager": "pager pagination paginate paging pages prev previous next older newer",
    "footer": "footer foot bottom colophon copyright legal disclaimer footnav imprint",
    "header": "header masthead head top logo brand hero branding",
    "sidebar": "sidebar side rail right left column col secondary complementary sidenav offcanvas",
    "widget": "widget widgets module panel box block",
    "meta": "byline author authors meta postmeta entrymeta date time published updated dateline timestamp bio "
    "avatar contributor info submitted credits datetime",
    "tags": "tag tags category categories cat cats topic topics keywords label labels taxonomy",
    "caption": "caption captions figcaption credit photo image images gallery slideshow media picture figure "
    "thumbcaption wp",
    "content": "content contents article articles post posts entry story main body hentry articlebody storybody blog "
    "single page primary",
    "prose": "text copy richtext prose markdown paragraph paragraphs description rte wysiwyg editor articletext "
    "bodytext maintext",
    "title": "title titles headline heading subtitle dek standfirst lead lede summary excerpt intro subhead",
    "popup": "modal popup overlay dialog lightbox drawer tooltip dropdown toast alert notification notice notices "
    "flyout interstitial",
    "hidden": "hidden hide invisible collapse collapsed sr visually screen offscreen noprint print",
    "account": "search login signin account cart checkout wishlist form forms user profile contact members password",
    "product": "product products price prices sku spec specs specification specifications shop buy variant stock "
    "shipping",
    "grid": "grid card cards item items list listing listings archive teaser teasers tile tiles thumb thumbs "
    "thumbnail carousel slider swiper slick river feed loop",
    "forum": "message messages forum forums thread threads posttext postbody answer answers question questions "
    "topicpost bbp qa accepted",
    "rating": "rating ratings review reviews stars star vote votes testimonial testimonials",
    "quote": "pullquote quote blockquote aside inset infobox sidebox callout factbox",
    "reference": "reflist references reference footnote footnotes navbox toc editsection catlinks citation citations "
    "bibliography",
    "faq": "faq faqs accordion accordions toggle tab step steps section features feature details",
    "button": "button buttons btn link links icon icons badge action actions",
    "code": "code highlight codehilite sourcecode snippet syntax pre math katex mathjax",
}
"""Group -> words. The order is that of the model's columns."""


def _table(entries: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """An open-addressed table for `kernels.html_blocks._find`."""
    size = 1 << (4 * len(entries)).bit_length()
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for word, value in entries.items():
        key = fnv_of(word)
        at = (key ^ (key >> 32)) & (size - 1)
        while keys[at]:
            at = (at + 1) & (size - 1)
        keys[at], values[at] = key, value
    return keys, values


@functools.cache
def tag_table() -> tuple[np.ndarray, np.ndarray]:
    """Hash of a tag's name -> id << 8 | flags."""
    flags = dict.fromkeys(TAGS[1:], 0)
    groups = [
        (_BLOCKS, BLOCK),
        (_VOIDS, VOID),
        (_DROPS, DROP),
        (_RAWS, RAW),
        (["a"], LINK),
        (["br"], BREAK),
        (["b", "strong"], STRONG),
    ]
    for names, flag in groups:
        for name in names:
            flags[name] |= flag
    return _table({name: ID[name] << 8 | each for name, each in flags.items()})


@functools.cache
def cue_table() -> tuple[np.ndarray, np.ndarray]:
    """Hash of a word -> a bit for each group of CUES that has it."""
    bits: dict[str, int] = {}
    for number, words in enumerate(CUES.values()):
        for word in words.split():
            bits[word] = bits.get(word, 0) | 1 << number
    return _table(bits)
