"""`fit` answers each line with one line, whatever the line is, and touches no store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import Mdsvc, process
from tests.cli.values import DEDICATED, Json, flavor, host

FITS: Json = {"host": host(), "flavor": flavor()}

BAD = {
    "an empty line": b"",
    "blanks": b"   \t",
    "a carriage return": b"\r",
    "no UTF-8": b"\xff\xfe",
    "NUL": b"\0",
    "binary": bytes(set(range(256)) - {10}),
    "a list": b"[]",
    "null": b"null",
    "no fields": b"{}",
    "no flavor": json.dumps({"host": host()}).encode(),
    "an unknown key": json.dumps({**FITS, "guest": 1}).encode(),
    "overlapping sets": json.dumps({**FITS, "host": host(cpu_shared_set="1")}).encode(),
    "half a question": json.dumps(FITS).encode()[:-5],
    "two questions on one line": json.dumps(FITS).encode() * 2,
    "many brackets": b"[" * 100_000,
    "a long number": b'{"host": ' + b"9" * 100_000 + b"}",
    "a long text": b'"' + b"x" * 1_000_000 + b'"',
    "a lone surrogate": b'{"host": "\\ud800"}',
}


def test_a_guest_that_fits_has_its_layout(mdsvc: Mdsvc, file: Path) -> None:
    done = mdsvc("fit", stdin=FITS)
    assert (done.code, done.err) == (0, "")
    [answer] = done.lines
    assert answer.keys() == {"fits", "layout", "warnings"}
    assert answer["fits"] is True
    assert answer["layout"]["dedicated_cpus"] == "2-3,5-7"
    assert answer["layout"]["emulator_threads_policy"] is None
    pins = answer["layout"]["cells"][0]["cpu_pinning"]
    assert pins.keys() == {"2", "3"}, "JSON knows no keys but text"
    assert not file.exists()


def test_a_guest_that_does_not_fit_has_the_reasons(mdsvc: Mdsvc) -> None:
    done = mdsvc("fit", stdin={**FITS, "flavor": flavor(13, 64, DEDICATED)})
    assert (done.code, done.err) == (0, "")
    [answer] = done.lines
    assert (answer["fits"], answer["error"]) == (False, "DoesNotFit")
    assert "h1" in answer["message"]
    assert answer["reasons"]
    assert all(reason["message"] for reason in answer["reasons"])


def test_a_request_that_is_wrong_by_itself_says_so(mdsvc: Mdsvc) -> None:
    wrong = {**FITS, "image": {"properties": {"hw_cpu_policy": "shared"}}}
    [answer] = mdsvc("fit", stdin=wrong).lines
    assert answer.keys() == {"fits", "error", "code", "message", "warnings"}
    assert (answer["fits"], answer["error"]) == (False, "InvalidRequest")


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_bad_line_is_answered_and_the_run_goes_on(mdsvc: Mdsvc, line: bytes) -> None:
    good = json.dumps(FITS).encode()
    done = mdsvc("fit", stdin=b"\n".join((good, line, good)))
    assert (done.code, done.err) == (0, "")
    first, bad, last = done.lines
    assert first == last
    assert first["fits"] is True
    assert bad.keys() == {"fits", "error", "code", "message", "warnings"}
    assert (bad["fits"], bad["error"]) == (False, "BadInput")
    assert bad["message"]


def test_all_bad_lines_together_have_one_answer_each(mdsvc: Mdsvc) -> None:
    done = mdsvc("fit", stdin=b"\n".join(BAD.values()) + b"\n")
    assert done.code == 0
    assert [answer["error"] for answer in done.lines] == ["BadInput"] * len(BAD)


def test_no_lines_have_no_answers(mdsvc: Mdsvc) -> None:
    done = mdsvc("fit")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_last_line_may_end_or_not(mdsvc: Mdsvc, end: bytes) -> None:
    done = mdsvc("fit", stdin=json.dumps(FITS).encode() + end)
    assert [answer["fits"] for answer in done.lines] == [True]


def test_questions_are_read_from_a_file(mdsvc: Mdsvc, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(f"{json.dumps(FITS)}\n" * 3)
    assert mdsvc("fit", str(file)).lines == mdsvc("fit", "-", stdin=file.read_bytes()).lines
    assert len(mdsvc("fit", str(file), "--json").lines) == 3


def test_the_use_that_a_host_says_is_reckoned_with(mdsvc: Mdsvc) -> None:
    first, second = host()["cells"]
    cells = [{**first, "pinned": "1-3,9-11"}, {**second, "pinned": "5-6"}]
    used = {**FITS, "host": host(cells=cells), "flavor": flavor(2, 64, DEDICATED)}
    [answer] = mdsvc("fit", stdin=used).lines
    pins = answer["layout"]["cells"][0]["cpu_pinning"]
    assert set(pins.values()) <= {7, 13, 14, 15}
    [answer] = mdsvc("fit", stdin={**used, "flavor": flavor(5, 64, DEDICATED)}).lines
    assert answer["fits"] is False


def test_an_old_host_takes_no_mixed_guest(mdsvc: Mdsvc) -> None:
    """R17, as far as a what-if knows: it is about one host."""
    [answer] = mdsvc("fit", stdin={**FITS, "host": host(service_version=1)}).lines
    assert (answer["fits"], answer["error"]) == (False, "DoesNotFit")
    assert "service version" in answer["message"]


def test_a_store_that_cannot_be_is_no_matter(tmp_path: Path) -> None:
    done = process("fit", stdin=FITS, MDSVC_STORE="nonsense", MDSVC_GUEST="nonsense")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0]["fits"] is True


# ---- keys that nobody knows ----

MISSPELT = {"hw:cpu_polcy": "dedicated"}
TOLD = "hw:cpu_polcy='dedicated': expected a key that is known; the nearest is hw:cpu_policy"


@pytest.mark.parametrize("flags", [[], ["--placement", "--json"], ["--hosts"]])
def test_an_unknown_key_is_warned_of_in_the_answer(
    mdsvc: Mdsvc, tmp_path: Path, flags: list[str]
) -> None:
    question: Json = {"flavor": flavor(4, extra_specs=MISSPELT)}
    if flags == ["--hosts"]:
        (tmp_path / "hosts.json").write_text(json.dumps([host()]))
        flags = ["--hosts", str(tmp_path / "hosts.json"), "--json"]
    else:
        question["host"] = host()
    [answer] = mdsvc("fit", *flags, stdin=question).lines
    assert answer["warnings"] == [TOLD]
    assert "error" not in answer
    [answer] = mdsvc("fit", *flags, "--strict", stdin=question).lines
    assert (answer["fits"], answer["error"], answer["message"]) == (False, "InvalidRequest", TOLD)


def test_a_setting_makes_unknown_keys_errors_too() -> None:
    question = {"host": host(), "flavor": flavor(4, extra_specs=MISSPELT)}
    [answer] = process("fit", stdin=question, MDSVC_UNKNOWN_KEYS="error").lines
    assert answer["message"] == TOLD
    done = process("fit", stdin=question, MDSVC_UNKNOWN_KEYS="perhaps")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mdsvc: MDSVC_UNKNOWN_KEYS: expected one of error, warn\n"


def test_people_are_warned_in_words(mdsvc: Mdsvc) -> None:
    question = {"host": host(), "flavor": flavor(4, extra_specs=MISSPELT)}
    done = mdsvc("fit", "--explain", stdin=question)
    assert f"warning: {TOLD}" in " ".join(done.out.split())
