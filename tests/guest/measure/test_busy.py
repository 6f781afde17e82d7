"""The probe itself, in this process."""

from __future__ import annotations

import io
import os
import sys

import pytest
from mdguest.measure import busy
from mdguest.measure.report import probed


@pytest.mark.parametrize(
    ("gap", "place"),
    [
        (10_000, 0),
        (99_999, 0),
        (100_000, 1),
        (1_000_000, 2),
        (10_000_000, 3),
        (10**9, 4),
        (10**12, 4),
    ],
)
def test_a_stall_is_counted_by_its_length(gap: int, place: int) -> None:
    assert busy.decade(gap) == place


def test_the_longest_gap_is_part_of_the_time_and_all_stalls_are_counted() -> None:
    ns, worst, stalled, *decades = busy.watch(20_000_000, os.getppid())
    assert ns >= 20_000_000
    assert 0 < worst <= ns
    assert stalled <= ns
    assert (stalled > 0) == (sum(decades) > 0)
    assert len(decades) == busy.DECADES


def test_a_probe_ends_when_its_parent_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "LOOK_ROUND_NS", 1_000_000)
    with pytest.raises(SystemExit):
        busy.watch(10**12, os.getppid() + 1)


def test_a_probe_that_is_told_nothing_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["-c", "1"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    busy.main()
    assert capsys.readouterr().out == ""


def test_a_probe_answers_with_a_line_of_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["-c", str(os.getppid())])
    monkeypatch.setattr(sys, "stdin", io.StringIO("0.02\n"))
    busy.main()
    found = probed(capsys.readouterr().out)
    assert found.seconds >= 0.02
    assert found.voluntary >= 0
    assert len(found.stalls) == busy.DECADES
