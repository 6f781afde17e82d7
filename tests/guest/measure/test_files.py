"""Reports in files and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mdguest.errors import BadInput, NotFound, Trouble
from mdguest.measure import as_json, from_json, load, save
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


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "is no measurement"),
        (changed(form=2), "is no measurement"),
        (changed(seconds="x"), "damaged"),
        (changed(cpus=[{"cpu": 1}]), "damaged"),
        (changed(sections=[{"text": ""}]), "damaged"),
        ({"form": 1}, "damaged"),
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


def test_a_file_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Trouble, match="cannot be written"):
        save(System(), str(tmp_path / "file" / "below"), NOISY)
