"""The changes by themselves, as data."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.documents import overlay
from mdsvc.nova.addresses import parse_upstream
from mdsvc.nova.replies import Reply
from mdsvc.versions import Options
from tests.strategies import QUICK

PATH = overlay.LAYOUT
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just([1, 2]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("dedicated_cpus"), inner),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text() | st.just("random_seed"), VALUES)


def entropy(count: int) -> bytes:
    return b"\x01" * count


@QUICK
@given(DOCUMENTS, st.sets(st.integers(0, 300)), st.sampled_from([None, 2]), st.booleans())
def test_of_any_document_only_the_outermost_cpus_are_changed(
    document: dict[str, Any], cpus: set[int], indent: int | None, is_ascii: bool
) -> None:
    document.pop("random_seed", None)
    written: dict[str, Any] = {"indent": indent, "ensure_ascii": is_ascii}
    try:
        body = json.dumps({**document, "dedicated_cpus": sorted(cpus)}, **written).encode()
    except UnicodeEncodeError:
        return  # Nova's JSON is UTF-8
    expected = {**document, "dedicated_cpus": str(CpuSet.of(cpus))}
    shown = overlay.shown(PATH, Reply(200, body), Options())
    assert shown.body(entropy) == json.dumps(expected, **written).encode()


@QUICK
@given(st.binary() | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_whatever_has_not_the_form_is_as_it_came(body: bytes) -> None:
    reply = Reply(200, body)
    paths = (PATH, ("openstack",), ("latest", "meta-data", "hostname"), ())
    for path in paths:
        shown = overlay.shown(path, reply, Options(version_list="newest"))
        if not shown.seed_bytes and b"dedicated_cpus" not in body:
            assert shown.body(entropy) == body


@QUICK
@given(st.binary(max_size=600))
def test_a_seed_is_replaced_by_one_as_long(seed: bytes) -> None:
    written = b64encode(seed).decode()
    body = json.dumps({"a": written, "random_seed": written, "b": {"random_seed": written}})
    shown = overlay.shown(PATH, Reply(200, body.encode()), Options())
    new = json.loads(shown.body(entropy))
    assert new["random_seed"] == b64encode(entropy(len(seed))).decode()
    assert (new["a"], new["b"]) == (written, {"random_seed": written})


@QUICK
@given(st.lists(st.text("abc-/=0", min_size=1), unique=True))
def test_a_listing_gains_one_line_and_loses_none(names: list[str]) -> None:
    body = "\n".join(sorted(names)).encode()
    path = ("latest", "meta-data")
    shown = overlay.with_cpu(path, Reply(200, body), CpuSet.of([1]))
    lines = shown.body(entropy).decode().split("\n")
    assert lines == sorted({*names, "cpu/"})
    assert overlay.with_cpu(path, Reply(200, body), CpuSet()).body(entropy) == body
    assert overlay.with_cpu(path, Reply(200, body), None).body(entropy) == body


@pytest.mark.parametrize(
    "value", [None, {}, "x", 3, [True], [1.0], ["1"], [-1], [10**9], [[1]], "3-1"]
)
def test_cpus_that_are_none_are_not_taken_for_some(value: Any) -> None:
    reply = Reply(200, json.dumps({"dedicated_cpus": value}).encode())
    assert overlay.dedicated_cpus(reply) is None
    assert overlay.shown(PATH, reply, Options()).body(entropy) == reply.body


@QUICK
@given(st.binary())
def test_no_answer_breaks_what_reads_it(body: bytes) -> None:
    reply = Reply(200, body)
    overlay.fault("/" + "/".join(PATH), reply, "u")
    overlay.dedicated_cpus(reply)


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        ("2012-08-10\nlatest", "2012-08-10\nlatest"),
        ("2012-08-10\n2020-10-14\n2031-01-01\nlatest", "2020-10-14\n2031-01-01\nlatest"),
        ("", ""),
        ("zzzz-zz-zz\n2018-08-27", "zzzz-zz-zz\n2018-08-27"),
    ],
)
def test_the_newest_versions_are_those_that_nova_has(listed: str, shown: str) -> None:
    answer = overlay.shown(
        ("openstack",), Reply(200, listed.encode()), Options(version_list="newest")
    )
    assert answer.body(entropy).decode() == shown


@pytest.mark.parametrize(
    "text",
    ["", "nova:8775", "ftp://nova", "http://", "http://u:p@nova", "http://nova/?a", "http://a:x"],
)
def test_a_url_that_is_none_is_refused_and_no_password_shown(text: str) -> None:
    with pytest.raises(ValueError, match="upstream: expected") as refused:
        parse_upstream(text)
    assert "u:p" not in str(refused.value)


@pytest.mark.parametrize("text", ["unix:", "unix:a", "unix:/a/", "http://a b", "http://a#b"])
def test_a_path_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="upstream: expected"):
        parse_upstream(text)


@pytest.mark.parametrize("text", ["http://nova:8775", "https://[::1]/metadata", "unix:/run/nova"])
def test_an_upstream_is_shown_as_it_was_given(text: str) -> None:
    assert str(parse_upstream(text)) == text
