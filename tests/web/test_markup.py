"""HTML that cannot be written unescaped: what goes in as text comes out as that text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mdsvc.web.markup import Html, foreign, h
from tests.web.reading import Node, read

HOSTILE = ['<script>alert("1")</script>', "' onload='x", "&lt;", "</main>", "\u202egpj", "]]>"]
texts = st.one_of(st.text(max_size=255), st.sampled_from(HOSTILE), st.text("<>&\"'/=` \n"))


def shown(text: str) -> str:
    """What is there instead of what is not printable."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


@given(st.lists(texts), texts)
def test_no_text_is_ever_markup(children: list[str], value: str) -> None:
    root = read(h("p", children, title=value, class_="a").text)
    [paragraph] = root.children
    assert isinstance(paragraph, Node)
    assert paragraph.attributes == {"title": shown(value), "class": "a"}
    assert paragraph.text == shown("".join(children))
    assert not list(paragraph.walk())


@given(texts)
def test_a_foreign_name_turns_nothing_around_it(name: str) -> None:
    bdi = read(foreign(name).text).one("bdi")
    assert bdi.text == shown(name)
    assert bdi.text.replace("\n", "").replace("\t", "").isprintable()


def test_attributes_are_there_without_a_value_or_not_at_all() -> None:
    made = h("input", required=True, hidden=False, value=None, aria_label="a", for_=3)
    assert made == Html('<input required aria-label="a" for="3">')


def test_what_is_nothing_writes_nothing() -> None:
    assert h("p", None, (), [], ["a", [h("b", 1)]]) == Html("<p>a<b>1</b></p>")
