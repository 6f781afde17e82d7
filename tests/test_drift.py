"""Drift, as a table: what a guest is told, what it said and when, and why it is taken to drift."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import to_json
from mdsvc.reports import MOST_BYTES, Report, Status, read_status, replaced, told
from mdsvc.reports.drift import GRACE_MS, SILENT_MS, SKEW_MS, Told, drift

TOLD = Told(3, CpuSet.parse("2-3"))
NOTHING_DEDICATED = Told(3, EMPTY)
GOOD: dict[str, Any] = {
    "generation": 3,
    "state": "isolated",
    "dedicated_cpus": "2-3",
    "isolated_cpus": "2-3",
}
NOW = 10_000_000


def report(*, received_at: int = NOW, told_at: int = 0, **said: object) -> Report:
    status = read_status(to_json(said))
    return Report(status=status, received_at=received_at, told_at=told_at)


CASES: dict[str, tuple[Told, Report | None, set[str]]] = {
    "never reported": (TOLD, None, set()),
    "all is well": (TOLD, report(**GOOD), set()),
    "says nothing at all": (TOLD, report(), set()),
    "nothing to isolate": (NOTHING_DEDICATED, report(state="off", isolated_cpus=""), set()),
    "an older generation": (TOLD, report(**GOOD | {"generation": 2}), {"not_applied"}),
    "one it was never told": (TOLD, report(**GOOD | {"generation": 4}), {"not_applied"}),
    "older, just told": (
        TOLD,
        report(**GOOD | {"generation": 2}, received_at=NOW - 2, told_at=NOW - 1),
        set(),
    ),
    "older, told the grace ago": (
        TOLD,
        report(**GOOD | {"generation": 2}, received_at=NOW - GRACE_MS - 1, told_at=NOW - GRACE_MS),
        {"not_applied"},
    ),
    "takes others for dedicated": (TOLD, report(dedicated_cpus="2"), {"not_applied"}),
    "isolated too few": (TOLD, report(**GOOD | {"isolated_cpus": "2"}), {"not_applied"}),
    "isolated too many": (TOLD, report(**GOOD | {"isolated_cpus": "1-3"}), {"not_applied"}),
    "isolated none": (TOLD, report(**GOOD | {"isolated_cpus": ""}), {"not_applied"}),
    "another spelling": (TOLD, report(isolated_cpus=" 3, 2"), set()),
    "off, where CPUs are dedicated": (TOLD, report(state="off"), {"said_so"}),
    "broken": (TOLD, report(**GOOD | {"state": "broken"}), {"said_so"}),
    "degraded": (TOLD, report(**GOOD | {"state": "degraded"}), {"said_so"}),
    "displaced": (TOLD, report(**GOOD | {"state": "displaced"}), {"said_so"}),
    "a word that nobody knows": (TOLD, report(state="wobbly"), {"said_so"}),
    "silent": (TOLD, report(**GOOD, received_at=NOW - SILENT_MS), {"silent"}),
    "not silent yet": (TOLD, report(**GOOD, received_at=NOW - SILENT_MS + 1), set()),
    "by a clock that was a little ahead": (
        TOLD,
        report(**GOOD, received_at=NOW + SILENT_MS - 1),
        set(),
    ),
    "by one that was far ahead": (TOLD, report(**GOOD, received_at=NOW + SILENT_MS), {"silent"}),
    "older, told by a clock a little ahead": (
        TOLD,
        report(**GOOD | {"generation": 2}, received_at=NOW, told_at=NOW + SKEW_MS),
        set(),
    ),
    "older, told by one that was ahead": (
        TOLD,
        report(**GOOD | {"generation": 2}, received_at=NOW, told_at=NOW + SKEW_MS + 1),
        {"not_applied"},
    ),
    "everything": (
        TOLD,
        report(generation=1, state="broken", isolated_cpus="", received_at=NOW - SILENT_MS),
        {"not_applied", "said_so", "silent"},
    ),
}


@pytest.mark.parametrize(("is_told", "said", "codes"), CASES.values(), ids=CASES)
def test_a_guest_drifts_for_these_reasons(
    is_told: Told, said: Report | None, codes: set[str]
) -> None:
    assert {reason.code for reason in drift(is_told, said, NOW)} == codes


def test_each_reason_says_what_is_and_what_should_be() -> None:
    said = report(generation=2, state="broken", isolated_cpus="", received_at=NOW - SILENT_MS)
    assert [reason.message for reason in drift(TOLD, said, NOW)] == [
        "it has applied generation 2, and is told 3",
        "it has isolated CPUs none, and is told 2-3",
        "it says that it is broken",
        "it has not reported for 30 minutes",
    ]


def test_a_change_while_another_one_is_not_applied_does_not_begin_the_grace_anew() -> None:
    behind = told(told(report(**GOOD, received_at=0), 1), GRACE_MS)
    assert behind.told_at == 1
    assert drift(Told(5, TOLD.dedicated_cpus), behind, GRACE_MS + 1)


# ---- the body ----

BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"isolated", "this is no JSON document"),
    "half of it": (b'{"state": "iso', "this is no JSON document"),
    "not UTF-8": (b'{"state": "\xff"}', "this is no JSON document"),
    "a list": (b"[]", "expected"),
    "null": (b"null", "expected"),
    "generation in words": (b'{"generation": "3"}', "generation"),
    "generation below 0": (b'{"generation": -1}', "generation"),
    "generation without end": (b'{"generation": 99999999999}', "generation"),
    "generation as a fraction": (b'{"generation": 1.5}', "generation"),
    "state is none": (b'{"state": ""}', "state"),
    "state in two lines": (b'{"state": "a\\nb"}', "state"),
    "state too long": (b'{"state": "' + b"x" * 65 + b'"}', "state"),
    "no CPU set": (b'{"isolated_cpus": "two"}', "isolated_cpus"),
    "a list of CPUs": (b'{"dedicated_cpus": [2, 3]}', "dedicated_cpus"),
    "nested deeply": (b'{"x": ' + b"[" * 900 + b"]" * 900 + b"}", "nested deeper"),
}


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_a_wrong_report_is_refused_in_one_line(body: bytes, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_status(body)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


_MARK = "reflected-3e1f"


@pytest.mark.parametrize("field", [*Status.__struct_fields__, _MARK])
@pytest.mark.parametrize(
    "value", [f"<{_MARK}>", f"{_MARK}\0", [_MARK], {_MARK: "\0"}, 123454321, -123454321.5, "3-2"]
)
def test_what_is_said_of_a_wrong_report_shows_nothing_of_it(field: str, value: object) -> None:
    said = _read(to_json({field: value}))
    if isinstance(said, str):
        assert not any(part in said for part in (_MARK, "123454321", "3-2"))
        assert said.startswith((f"{field}: expected ", "status: expected "))


def test_unknown_fields_are_tolerated_and_not_kept() -> None:
    body = to_json({**GOOD, "kernel": {"release": "6.1"}, "problems": [1, None]})
    assert read_status(body) == read_status(to_json(GOOD))


def _read(body: bytes) -> Status | str:
    """The status, or why there is none."""
    try:
        return read_status(body)
    except BadInput as error:
        return str(error)


@given(st.binary(max_size=MOST_BYTES))
def test_any_bytes_are_a_status_or_refused(body: bytes) -> None:
    status = _read(body)
    assert isinstance(status, Status) or len(status.splitlines()) == 1


_JSON: st.SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 2**70, 1.5, "", "x\0", "two", [], [1], {}, {"a": []}]
)
_STATUS = st.fixed_dictionaries(
    {},
    optional={
        "generation": st.integers(-1, 2**32) | _JSON,
        "state": st.sampled_from(["isolated", "off", "broken", ""]) | _JSON,
        "dedicated_cpus": st.sets(st.integers(0, 40)).map(lambda c: str(CpuSet.of(c))) | _JSON,
        "isolated_cpus": st.sets(st.integers(0, 40)).map(lambda c: str(CpuSet.of(c))) | _JSON,
        "more": _JSON,
    },
)


@given(_STATUS, st.integers(0, 2 * SILENT_MS))
def test_what_is_taken_is_judged_and_what_is_not_is_told_in_one_line(
    form: dict[str, object], later: int
) -> None:
    status = _read(to_json(form))
    if isinstance(status, str):
        assert len(status.splitlines()) == 1
        return
    reasons = drift(TOLD, replaced(None, status, NOW), NOW + later)
    is_silent = "silent" in {reason.code for reason in reasons}
    assert is_silent == (later >= SILENT_MS)
