"""Reports in files and as JSON."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from mdguest.errors import BadInput, NotFound, Trouble
from mdguest.measure import as_json, check_writable, from_json, load, save
from mdguest.system import System

from tests.guest.measure.reports import NOISY


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    path = str(tmp_path / "before.json")
    save(System(), path, NOISY)
    assert load(System(), path) == NOISY


def test_the_json_form_is_plain() -> None:
    value = as_json(NOISY)
    assert json.loads(json.dumps(value)) == value
    assert value["cpus"][1]["counts"]["steal_ms"] == 30.0
    assert value["cpus"][1]["probe"]["worst_us"] == 800.0
    assert value["cpus"][2]["probe"] is None


def changed(**fields: Any) -> dict[str, Any]:
    return {**as_json(NOISY), **fields}


def one_cpu(**fields: Any) -> dict[str, Any]:
    return changed(cpus=[{**as_json(NOISY)["cpus"][0], **fields}])


def counts(**fields: Any) -> dict[str, Any]:
    return one_cpu(counts={**as_json(NOISY)["cpus"][0]["counts"], **fields})


def probe(**fields: Any) -> dict[str, Any]:
    return one_cpu(probe={**as_json(NOISY)["cpus"][1]["probe"], **fields})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "is no measurement"),
        (changed(form=2), "is no measurement"),
        (changed(seconds="x"), "damaged"),
        (changed(cpus=[{"cpu": 1}]), "damaged"),
        (changed(sections=[{"text": ""}]), "damaged"),
        ({"form": 1}, "damaged"),
        *((changed(seconds=seconds), "damaged") for seconds in (0, -1, math.nan, math.inf, "3")),
        (changed(context_switches=math.inf), "damaged"),
        *((one_cpu(cpu=cpu), "damaged") for cpu in (math.inf, None, "x")),
        *((counts(interrupts=value), "damaged") for value in (None, "x", {"LOC": "x"})),
        *((counts(steal_ms=value), "damaged") for value in (None, "x", math.nan)),
        (counts(switches="x"), "damaged"),
        *((probe(worst_us=value), "damaged") for value in (None, "x", math.inf)),
        (probe(stalls=["x"]), "damaged"),
    ],
)
def test_another_value_is_bad_input_that_names_the_file(value: object, why: str) -> None:
    with pytest.raises(BadInput, match=f"b.json: .*{why}"):
        from_json(value, "b.json")


def test_a_file_that_is_not_there_or_not_json_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read: No such file"):
        load(System(), str(tmp_path / "none"))
    (tmp_path / "text").write_text("CPU0")
    with pytest.raises(BadInput, match="text: is not JSON"):
        load(System(), str(tmp_path / "text"))
    (tmp_path / "deep").write_text("[" * 100_000)
    with pytest.raises(BadInput, match="deep: is nested too deeply"):
        load(System(), str(tmp_path / "deep"))


def test_a_file_that_cannot_be_written_is_said_to_be_so_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    wrong = ("file/below", "", "none/x", "circle")
    for path in (tmp_path / name for name in wrong):
        with pytest.raises(Trouble, match="cannot be written"):
            check_writable(str(path))
        with pytest.raises(Trouble, match="cannot be written"):
            save(System(), str(path), NOISY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle", "file"]
    assert (tmp_path / "circle").is_symlink()
    for path in (tmp_path / "file", tmp_path / "new", Path("/dev/null")):
        check_writable(str(path))


def test_what_the_user_names_is_written_through_and_not_replaced(tmp_path: Path) -> None:
    link, file, pipe = tmp_path / "link", tmp_path / "file", tmp_path / "pipe"
    link.symlink_to(file)
    System().export(str(link), "text")
    assert (link.is_symlink(), file.read_text()) == (True, "text")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    System().export(str(pipe), "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()
