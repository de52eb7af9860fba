"""Plain prose from wikitext: the markup is parsed by mwparserfromhell, this module decides what a reader would read."""

import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell.nodes import Comment, ExternalLink, Heading, HTMLEntity, Node, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

from clara.data.prose import HOLE, ITEM, paragraphs
from clara.data.templates import visible_text

_HEADING = re.compile(r"^(={2,6})[ \t]*(.+?)[ \t]*\1[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)

APPENDICES = frozenset([
    "see also", "references", "external links", "further reading", "notes", "footnotes", "bibliography", "sources",
    "citations", "notes and references", "references and notes", "works cited", "gallery", "literature",
    "selected bibliography", "filmography", "discography", "explanatory notes", "general references",
    "primary sources", "secondary sources", "links",
])  # fmt: skip
"""Headings, in lower case, of sections that hold no prose."""

_MEDIA = re.compile(r"\s*(?:file|image|category|media)\s*:", re.IGNORECASE)
_BARE = re.compile(r"\s*(?:wikipedia|template|portal|special|help|user|talk|[a-z]{2,3})\s*:", re.IGNORECASE)
"""Namespaces and languages: links to them show nothing unless they are given a text."""
_DROPPED_TAGS = frozenset([
    "ref", "references", "gallery", "table", "timeline", "score", "syntaxhighlight", "source", "imagemap", "hiero",
    "includeonly", "noinclude", "templatestyles", "graph", "mapframe", "inputbox", "pre", "tr", "td", "th", "hr",
    "section",
])  # fmt: skip
_HOLE_TAGS = frozenset(["math", "chem", "ce", "code"])
_HOLE_TEMPLATES = frozenset(["math", "mvar", "chem", "tmath", "equation", "numblk"])
_LIST_TAGS = frozenset(["li", "dd", "dt"])
_LINE_TAGS = frozenset(["p", "div", "blockquote", "center", "poem"])

_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:template:)?(?:[\w/ -]*disambig(?!uation needed)[\w -]*|hndis|geodis|dab|mathdab|schooldis|hospitaldis|"
    r"numberdis|roaddis|shipindex|set index article|surname|given name|letter-numbercombdisambig)\s*(?:\||\}\})",
    re.IGNORECASE,
)


def is_disambiguation(title: str, wikitext: str) -> bool:
    """Whether a page only tells meanings of a name apart."""
    return title.endswith("(disambiguation)") or _DISAMBIGUATION.search(wikitext) is not None


def article_paragraphs(wikitext: str) -> Iterator[str]:
    """The paragraphs of prose of an article, section by section.

    Sections are parsed when they are asked for: the start of a long article costs what the start costs.
    """
    for section in _sections(_COMMENT.sub("", wikitext)):
        try:
            text = plain(mwparserfromhell.parse(section, skip_style_tags=True))
        except RecursionError:  # thousands of open braces: vandalism, no prose
            continue
        yield from paragraphs(text)


def plain(code: Wikicode) -> str:
    """The visible text of parsed wikitext; list items begin with `ITEM`, formulas leave a `HOLE`."""
    return "".join(_visible(node) for node in code.nodes)


def _sections(wikitext: str) -> Iterator[str]:
    """Sections without their headings, appendices and what is below them left out."""
    headings = list(_HEADING.finditer(wikitext))
    ends = [*(heading.start() for heading in headings), len(wikitext)]
    yield wikitext[: ends[0]]
    skipped_level = 7
    for heading, end in zip(headings, ends[1:], strict=True):
        level = len(heading.group(1))
        if level > skipped_level:
            continue
        appendix = heading.group(2).strip(" '").lower() in APPENDICES
        skipped_level = level if appendix else 7
        if not appendix:
            yield wikitext[heading.end() : end]


def _visible(node: Node) -> str:
    match node:
        case Text():
            return str(node.value)
        case Wikilink():
            return _link(node)
        case Template():
            return _template(node)
        case Tag():
            return _tag(node)
        case HTMLEntity():
            return _entity(node)
        case ExternalLink():
            return plain(node.title) if node.title is not None else ""
        case Comment() | Heading():
            return ""
    return ""


def _link(node: Wikilink) -> str:
    title = str(node.title)
    if _MEDIA.match(title):
        return ""
    if node.text is not None:
        text = plain(node.text)
        # Only files take several arguments: this finds those whose namespace is in another language.
        return "" if "|" in text else text
    return "" if _BARE.match(title) else plain(node.title).lstrip(":").partition("#")[0].strip()


def _template(node: Template) -> str:
    name = str(node.name).strip()
    if name.lower() in _HOLE_TEMPLATES:
        return HOLE
    return visible_text(
        name, lambda: [plain(argument.value).strip() for argument in node.params if not argument.showkey]
    )


def _tag(node: Tag) -> str:
    name = str(node.tag).strip().lower()
    if name in _DROPPED_TAGS:
        return ""
    if name in _HOLE_TAGS:
        return HOLE
    if name in _LIST_TAGS and node.wiki_markup:
        return ITEM
    if name == "br":
        return " "
    content = plain(node.contents) if node.contents is not None else ""
    return f"\n{content}\n" if name in _LINE_TAGS else content


def _entity(node: HTMLEntity) -> str:
    try:
        sign = str(node.normalize())
    except ValueError:  # a number beyond Unicode
        return ""
    return "" if "\ud800" <= sign <= "\udfff" else sign  # half of a character, which no file can hold
