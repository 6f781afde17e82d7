"""HTML as a tree, read strictly: what is opened is closed, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from typing_extensions import override

VOID = {"input", "link", "meta"}


class Node:
    """An element: its attributes, and what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Node | str] = []

    def __getitem__(self, name: str) -> str:
        value = self.attributes[name]
        assert value is not None
        return value

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def every(self, tag: str | None = None, **attributes: str) -> list[Node]:
        """The elements in it that are so, in their order; ``class_`` is one of the classes."""
        wanted = {name.rstrip("_").replace("_", "-"): v for name, v in attributes.items()}
        return [n for n in self.walk() if tag in (None, n.tag) and n.is_so(wanted)]

    def one(self, tag: str | None = None, **attributes: str) -> Node:
        [node] = self.every(tag, **attributes)
        return node

    def is_so(self, wanted: dict[str, str]) -> bool:
        has = self.attributes
        return all(
            value in (has.get(name) or "").split() if name == "class" else has.get(name) == value
            for name, value in wanted.items()
        )

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()

    def rows(self) -> list[list[str]]:
        """The texts of a table's cells."""
        return [
            [cell.text for cell in row.walk() if cell.tag in ("td", "th")]
            for row in self.one("tbody").every("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        assert len(node.attributes) == len(attrs), f"an attribute twice: {attrs}"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    @override
    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    @override
    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(text: str) -> Node:
    """The root of a document, or of a piece of one."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    [root] = reader.open
    return root
