"""The manual: the pages of ``docs`` as they come with the program, made into parts of pages of the console.

The text is ours, and HTML in it stays text. What would need a style or a script of its own is left out: the console's
policy allows neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

HERE: Final = Path(__file__).parent
#: in an installed package, and in the tree
FOLDERS: Final = (HERE / "docs", HERE.parents[1] / "docs")
#: of its pages in the console
ADDRESS: Final = "/help"
#: what pictures may be
PICTURES: Final[Mapping[str, str]] = {".png": "image/png", ".svg": "image/svg+xml"}
#: in the order in which they are listed; others follow by name
ORDER: Final = ("web-console", "configuration", "operations", "monitoring", "deidentify", "profiles", "pseudonyms")
#: places that a search finds, at most
MOST_FOUND: Final = 40

_HEADING = re.compile(r"(#{1,4}) +(.+?) *#*")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, with the text below it up to the next one."""

    level: int
    title: str
    #: of its element; empty: it is that of the page
    id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page."""

    name: str
    sections: Sequence[Section]

    @property
    def title(self) -> str:
        """Return its first heading."""
        return self.sections[0].title

    @property
    def first_words(self) -> str:
        """Return its first sentence."""
        text = next((one.text.strip() for one in self.sections if one.text.strip()), "")
        paragraph = text.partition("\n\n")[0].replace("\n", " ")
        return f"{_plain(re.split(r'[.:](?: |$)', paragraph, maxsplit=1)[0])}."


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where something is written."""

    page: Page
    section: Section

    @property
    def address(self) -> str:
        """Return where it can be read."""
        return f"{ADDRESS}/{self.page.name}{f'#{self.section.id}' if self.section.id else ''}"


@cache
def folder() -> Path:
    """Return where the pages are."""
    return next(one for one in FOLDERS if one.is_dir())


@cache
def pages() -> Mapping[str, Page]:
    """Return every page by its name."""
    found = {path.stem: _page(path) for path in sorted(folder().glob("*.md"))}
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*known, *(name for name in found if name not in known)]}


@cache
def pictures() -> Mapping[str, Path]:
    """Return every picture by its name."""
    return {path.name: path for path in (folder() / "images").iterdir() if path.suffix in PICTURES}


@cache
def shown(name: str) -> Markup:
    """Return a page as HTML."""
    renderer = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    tokens = renderer.parse((folder() / f"{name}.md").read_text("utf-8"))
    _name(tokens)
    _adapt(tokens)
    # HTML in the text was escaped
    return Markup(renderer.renderer.render(tokens, renderer.options, {}))


def search(text: str) -> list[Found]:
    """Return where all of the words stand: in headings first, then in what is below them."""
    words = text.casefold().split()
    if not words:
        return []
    every = [Found(page=page, section=section) for page in pages().values() for section in page.sections]
    named = [one for one in every if _has(f"{one.page.title} {one.section.title}", words)]
    told = [one for one in every if one not in named and _has(f"{one.section.title} {one.section.text}", words)]
    # what only the page's own title has says little about each of its sections
    named.sort(key=lambda one: (not _has(one.section.title, words), bool(one.section.id)))
    return [*named, *told][:MOST_FOUND]


def _has(text: str, words: Sequence[str]) -> bool:
    there = text.casefold()
    return all(word in there for word in words)


def _page(path: Path) -> Page:
    return Page(name=path.stem, sections=tuple(_sections(path.read_text("utf-8"))))


def _sections(text: str) -> Iterator[Section]:
    slugs = _Slugs()
    level, title, below, fenced = 0, "", [], False  # type: int, str, list[str], bool

    def section() -> Section:
        name = slugs.of(title)
        return Section(level=level, title=_plain(title), id=name if level > 1 else "", text="\n".join(below))

    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading is None:
            below.append(line)
            continue
        if level:
            yield section()
        level, title, below = len(heading[1]), heading[2], []
    if level:
        yield section()


class _Slugs:
    """Ids of headings, as they are written in links: those that GitHub gives."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def of(self, title: str) -> str:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = self._given.get(slug, 0)
        self._given[slug] = count + 1
        return f"{slug}-{count}" if count else slug


def _plain(text: str) -> str:
    """Return words without their marks."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("*", "")


def _name(tokens: Sequence[Token]) -> None:
    """Give headings the ids of links to them, and tables the names of what they stand below."""
    slugs, below, tables = _Slugs(), "", 0
    for position, (token, inside) in enumerate(pairwise(tokens)):
        if token.type == "heading_open":
            token.attrSet("id", slugs.of(inside.content))
            below, tables = _plain(inside.content), 0
        elif token.type == "table_open":
            tables += 1
            token.meta["label"] = f"Table of {below}{f', {tables}' if tables > 1 else ''}"
        elif token.type == "th_open" and not inside.content:
            # a head without words is none
            token.tag = tokens[position + 2].tag = "td"


def _adapt(tokens: Sequence[Token]) -> None:
    """Have links and pictures be those of the console, and no style in an element."""
    elsewhere = False
    for token in tokens:
        style = str(token.attrs.pop("style", ""))
        if "right" in style:
            token.attrJoin("class", "number")
        if token.type == "image":
            token.attrSet("src", f"{ADDRESS}/images/{str(token.attrs['src']).rpartition('/')[2]}")
            token.attrSet("loading", "lazy")
        elif token.type == "link_open":
            address = _address(str(token.attrs["href"]))
            elsewhere = address is None
            token.attrs = {} if address is None else {**token.attrs, "href": address}
        if elsewhere and token.type in ("link_open", "link_close"):
            token.tag = "span"
        _adapt(token.children or ())


def _address(href: str) -> str | None:
    """Return where a link of a page goes in the console; None: to what does not come with the program."""
    parts = urlsplit(href)
    if parts.scheme in ("http", "https") or not parts.path:
        return href
    name = parts.path.removesuffix(".md")
    if name == parts.path or name not in pages():
        return None
    return f"{ADDRESS}/{name}{f'#{parts.fragment}' if parts.fragment else ''}"


class _Renderer(RendererHTML):
    """What is wider than the page moves by itself, and can be reached by the keyboard."""

    def table_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        label = escapeHtml(tokens[idx].meta["label"])
        return f'<div class="table" role="region" aria-label="{label}" tabindex="0">\n<table>\n'

    def table_close(self, *_: Any) -> str:
        return "</table>\n</div>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return super().fence(tokens, idx, options, env).replace("<pre>", '<pre tabindex="0">', 1)

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return super().code_block(tokens, idx, options, env).replace("<pre>", '<pre tabindex="0">', 1)
