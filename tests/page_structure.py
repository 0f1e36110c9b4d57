"""What a page is made of, and what must hold of every page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

_VOID = {"meta", "link", "input", "img", "br", "hr"}


class Page(HTMLParser):
    """What a page is made of; raises where a tag is not closed.

    Attributes:
        tags: Name and attributes of every start tag.
        headings: Level and text, in order.
        text: All text outside style and script.
        css: Text of style elements.
        scripts: Text of script elements.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.scripts: list[str] = []
        self.text, self.css = "", ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
        if tag == "script":
            self.scripts.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, (tag, self._open)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.css += data
        elif self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data
            if any(tag in ("h1", "h2", "h3", "h4") for tag in self._open):
                level, so_far = self.headings[-1]
                self.headings[-1] = (level, so_far + data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Attributes of every such tag whose attributes hold these words."""
        return [
            attributes
            for name, attributes in self.tags
            if name == tag
            and all(value in attributes.get(key.strip("_"), "").split() for key, value in wanted.items())
        ]


def assert_sound(html: str) -> Page:
    """Check what must hold of every page: structure, alternatives, uniqueness, nothing from outside."""
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html")[0]["lang"] == "en"
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("img"):
        assert attributes["alt"].strip() and attributes["src"].startswith("data:image/")
    for attributes in page.all("svg"):
        named = attributes.get("aria-labelledby", "").split()
        assert attributes.get("aria-hidden") == "true" or (named and set(named) <= set(ids))
    for tag in ("label", "a", "section", "article"):
        for attributes in page.all(tag):
            target = attributes.get("for") or attributes.get("href", "").lstrip("#")
            assert not target or target in ids, target
            assert attributes.get("aria-labelledby", ids[0]) in ids
    assert_from_nowhere(html, page)
    # No figure is NaN (in Python's words; explanations may speak of it), and no template forgot a value.
    spoilt = re.compile(r"(?<!\w)(nan|inf|None|undefined)(?!\w)")
    assert not spoilt.search(page.text), spoilt.search(page.text)
    told = [value for _, attributes in page.tags for name, value in attributes.items() if name != "src"]
    assert not [value for value in told if spoilt.search(value)]
    return page


def assert_from_nowhere(html: str, page: Page) -> None:
    """Nothing is loaded, and the policy says so."""
    assert "http:" not in html and "https:" not in html and "//cdn" not in html
    assert "url(" not in page.css and "@import" not in page.css
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0] and "img-src data:" in policies[0]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not page.all("link", rel="stylesheet") and not page.all("iframe") and not page.all("object")
