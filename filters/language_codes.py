"""How the names in `in: [...]` meet the labels of a language model: other codes for one language, and scripts.

    in: en         means the label  en            of lid.176, and  eng_Latn  of GlotLID and OpenLID
    in: eng_Latn   means that label alone
    in: zh_Hant    means  zho_Hant,  and  zh  (lid.176) or  cmn_Hani  (GlotLID) where the text is in traditional characters

A name is a code, or a code and a script (ISO 15924). A two-letter code (ISO 639-1) also means the three-letter ones (ISO 639-3) of the table
below: its own, and the one that models use for the standard form of a language that has several (arb for ar, cmn for zh).
"""

from collections.abc import Collection
from dataclasses import dataclass

from filters.registry import nearest
from filters.scripts import SCRIPTS

UNDETERMINED = "und"
CHINESE = frozenset({"zh", "zho", "cmn"})
JAPANESE = frozenset({"ja", "jpn"})
# ISO 639-1 -> ISO 639-3
CODES = {
    line.split()[0]: tuple(line.split()[1:])
    for line in """
aa aar|ab abk|ae ave|af afr|ak aka twi|am amh|an arg|ar ara arb|as asm|av ava|ay aym ayr|az aze azj|ba bak|be bel|bg bul|bh bih bho|bi bis
bm bam|bn ben|bo bod|br bre|bs bos|ca cat|ce che|ch cha|co cos|cr cre|cs ces|cu chu|cv chv|cy cym|da dan|de deu|dv div|dz dzo|ee ewe|el ell
en eng|eo epo|es spa|et est ekk|eu eus|fa fas pes|ff ful fuv|fi fin|fj fij|fo fao|fr fra|fy fry|ga gle|gd gla|gl glg|gn grn gug|gu guj|gv glv
ha hau|he heb|hi hin|ho hmo|hr hrv|ht hat|hu hun|hy hye|hz her|ia ina|id ind|ie ile|ig ibo|ii iii|ik ipk|io ido|is isl|it ita|iu iku ike
ja jpn|jv jav|ka kat|kg kon|ki kik|kj kua|kk kaz|kl kal|km khm|kn kan|ko kor|kr kau knc|ks kas|ku kur kmr|kv kom kpv|kw cor|ky kir|la lat
lb ltz|lg lug|li lim|ln lin|lo lao|lt lit|lu lub|lv lav lvs|mg mlg plt|mh mah|mi mri|mk mkd|ml mal|mn mon khk|mr mar|ms msa zsm|mt mlt|my mya
na nau|nb nob|nd nde|ne nep npi|ng ndo|nl nld|nn nno|no nor nob|nr nbl|nv nav|ny nya|oc oci|oj oji|om orm gaz|or ori ory|os oss|pa pan|pi pli
pl pol|ps pus pbt|pt por|qu que quy|rm roh|rn run|ro ron|ru rus|rw kin|sa san|sc srd|sd snd|se sme|sg sag|sh hbs|si sin|sk slk|sl slv|sm smo
sn sna|so som|sq sqi als|sr srp|ss ssw|st sot|su sun|sv swe|sw swa swh|ta tam|te tel|tg tgk|th tha|ti tir|tk tuk|tl tgl fil|tn tsn|to ton
tr tur|ts tso|tt tat|tw twi|ty tah|ug uig|uk ukr|ur urd|uz uzb uzn|ve ven|vi vie|vo vol|wa wln|wo wol|xh xho|yi yid ydd|yo yor|za zha|zh zho cmn
zu zul
""".replace("\n", "|")
    .strip("|")
    .split("|")
}


@dataclass(frozen=True)
class Name:
    """A name of `in`, split."""

    text: str
    code: str
    script: str | None

    @classmethod
    def of(cls, text: str) -> "Name":
        """ "eng_Latn" -> code "eng", script "Latn"; what follows the first "_" counts as a script."""
        code, _, script = text.partition("_")
        return cls(text, code, script or None)

    def means(self, label: "Name") -> bool:
        """Whether a text that got this label can be what the name asks for."""
        if self.text == label.text:
            return True
        if label.code != self.code and label.code not in CODES.get(self.code, ()):
            return False
        return self.script in (None, label.script) or label.script in (None, "Hani")

    def asks_script(self, label: "Name") -> bool:
        """Whether the script must be looked up in the text, because the label does not say it."""
        return self.text != label.text and self.script is not None and self.script != label.script


def check_names(wanted: Collection[str], labels: Collection[str]) -> None:
    """Errors: ValueError for an empty list, a name that no label of the model answers to, an unknown script."""
    if not wanted:
        raise ValueError(
            "language: `in` is an empty list: no document could stay. Leave `in` out to keep every language"
        )
    split = [Name.of(label) for label in labels]
    for name in map(Name.of, wanted):
        if name.text == UNDETERMINED or name.text in labels:
            continue
        if not any(name.means(label) for label in split):
            short = {code for code in CODES if any(Name.of(code).means(label) for label in split)}
            raise ValueError(
                f"language: the model has no language {name.text!r}{nearest(name.text, {*labels, *short})}; "
                f"names are ISO 639 codes such as 'en' and 'zh', and the model knows {len(labels)} of them"
            )
        if name.script is not None and name.script not in SCRIPTS:
            raise ValueError(
                f"language: {name.text!r} names no script that is known{nearest(name.script, SCRIPTS)}; "
                "scripts are ISO 15924 codes such as Latn, Cyrl, Hans, Hant"
            )


def choose_names(wanted: Collection[str], label: str) -> list[Name]:
    """The names of `in` that a text with this label may fit, the most exact first."""
    split = Name.of(label)
    fitting = [name for name in map(Name.of, wanted) if name.means(split)]
    return sorted(fitting, key=lambda name: (name.script is None, name.text != label))
