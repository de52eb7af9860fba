"""The few templates of Wikipedia whose text belongs to the sentence around them; all others are left out."""

# ruff: noqa: RUF001 - typographic signs are what this module is about

import re
from collections.abc import Callable

_FIRST = frozenset(
    """
    abbr big blockquote bquote cquote em ill illm larger linktext nihongo nobold nobr noitalic nowrap quotation
    quote script sic small smallcaps smaller strong sub sup tooltip val vanchor
    """.split()
) | {"interlanguage link", "not a typo", "not typo", "visible anchor"}
"""The first argument is what a reader sees."""

_LAST = frozenset(["transl", "transliteration", "lang", "rtl-lang", "script/hebrew", "color", "font color", "unicode"])
"""The last positional argument is what a reader sees."""

_FIXED = {
    "ndash": "–", "–": "–", "en dash": "–", "mdash": "—", "—": "—", "em dash": "—", "spaced ndash": " – ",
    "spnd": " – ", "snd": " – ", "spaced en dash": " – ", "nbsp": " ", "space": " ", "'": "'", "'s": "'s", "`": "ʻ",
    "okina": "ʻ", "dot": " · ", "·": " · ", "!": "|", "=": "=", "degree": "°", "circa": "c.", "c.": "c.",
    "ca.": "c.", "bce": "BCE", "ad": "AD", "break": " ", "clear": " ", "times": "×", "pound": "£", "£": "£",
    "euro": "€",
}  # fmt: skip
"""Templates that stand for a sign; arguments, if any, follow it."""

_RANGE = {
    "to": " to ",
    "-": "–",
    "–": "–",
    "and": " and ",
    "by": " by ",
    "x": " × ",
    "or": " or ",
    "+/-": " ± ",
    "±": " ± ",
}

_UNITS = {
    "sqmi": "square miles", "sqkm": "km²", "km2": "km²", "m2": "m²", "ft2": "square feet", "sqft": "square feet",
    "m3": "m³", "km3": "km³", "mi2": "square miles", "C": "°C", "F": "°F", "C-change": "°C", "F-change": "°F",
    "e6km2": "million km²", "mi": "miles", "acre": "acres", "ft": "feet", "in": "inches", "lb": "pounds",
    "long ton": "long tons", "nmi": "nautical miles", "km/h": "km/h", "ha": "hectares", "yd": "yards",
    "t": "tonnes", "kg/m3": "kg/m³", "g/cm3": "g/cm³",
}  # fmt: skip


def visible_text(name: str, arguments: Callable[[], list[str]]) -> str:
    """What a reader sees of a template: empty for the great many that hold references, boxes and notes.

    Args:
        name: the template's name as written.
        arguments: gives its positional arguments as plain text; called only where they are needed.
    """
    name = " ".join(name.replace("_", " ").lower().split())
    if name in _FIXED:
        return _sign(_FIXED[name], arguments()) if name in ("circa", "c.", "ca.", "£", "pound", "€") else _FIXED[name]
    if name in _FIRST:
        return next(iter(arguments()), "")
    if name in _LAST or name.startswith("lang-"):
        return next(iter(arguments()[-1:]), "")
    if name in ("convert", "cvt"):
        return converted(arguments())
    if name in ("frac", "fraction", "sfrac"):
        return _fraction(arguments())
    if name in ("as of", "as of?"):
        return "As of " + "-".join(arguments()[:3])
    return ""


def converted(arguments: list[str]) -> str:
    """The quantity of `{{convert}}` in its first unit: `{{convert|5|-|8|km|mi}}` as `5-8 km`, with an en dash."""
    if len(arguments) >= 4 and arguments[1] in _RANGE:
        value, unit = _grouped(arguments[0]) + _RANGE[arguments[1]] + _grouped(arguments[2]), arguments[3]
    elif len(arguments) >= 2:
        value, unit = _grouped(arguments[0]), arguments[1]
    else:
        return " ".join(arguments)
    return f"{value} {_UNITS.get(unit, unit)}"


def _grouped(number: str) -> str:
    return f"{int(number):,}" if re.fullmatch(r"\d{4,}", number) else number


def _sign(sign: str, arguments: list[str]) -> str:
    return sign + (" " if sign == "c." else "") + "–".join(arguments[:2]) if arguments else sign


def _fraction(arguments: list[str]) -> str:
    if len(arguments) == 3:
        return f"{arguments[0]} {arguments[1]}/{arguments[2]}"
    return "/".join(arguments) if len(arguments) == 2 else "1/" + "".join(arguments)
