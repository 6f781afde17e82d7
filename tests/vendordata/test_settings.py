"""How targets are set, and what is refused at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdsvc.errors import BadInput
from mdsvc.settings import load
from mdsvc.vendordata.files import secret_header, static_data
from mdsvc.vendordata.targets import Target, parse_targets

WRONG = {
    "no name": "http://a/",
    "an empty name": "@http://a/",
    "no URL": "a@",
    "another kind of URL": "a@ftp://b/",
    "a user in it": "a@http://u:p@b/",
    "a fragment": "a@http://b/#c",
    "a space": "a@http://b/ c",
    "the static file's name": "static@http://b/",
}


def test_targets_are_names_and_urls_as_nova_s() -> None:
    set_to = {"MDSVC_VENDORDATA_DYNAMIC_TARGETS": "a@http://h/x?y=1, b@https://[::1]:8/"}
    settings = load(None, set_to, {})
    assert parse_targets(settings.vendordata_dynamic_targets) == (
        Target("a", "http://h/x?y=1"),
        Target("b", "https://[::1]:8/"),
    )


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_no_target_is_refused_and_named(text: str) -> None:
    with pytest.raises(BadInput, match=r"^MDSVC_VENDORDATA_DYNAMIC_TARGETS: expected"):
        load(None, {"MDSVC_VENDORDATA_DYNAMIC_TARGETS": text}, {})


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ValueError, match="without a user") as refused:
        parse_targets(["a@http://u:s3cret@b/"])
    assert "s3cret" not in str(refused.value)


def test_a_name_is_there_once() -> None:
    with pytest.raises(ValueError, match="'a' is there twice"):
        parse_targets(["a@http://b/", "a@http://c/"])


@pytest.mark.parametrize("seconds", ["0", "60", "x"])
def test_a_deadline_is_within_what_guests_wait(seconds: str) -> None:
    with pytest.raises(BadInput, match="MDSVC_VENDORDATA_DYNAMIC_SECONDS"):
        load(None, {"MDSVC_VENDORDATA_DYNAMIC_SECONDS": seconds}, {})


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("s3cret\n", {"Authorization": "Bearer s3cret"}),
        ("X-Shared: s3cret: too\n", {"X-Shared": "s3cret: too"}),
    ],
)
def test_a_secret_is_a_token_or_a_header(tmp_path: Path, text: str, header: dict[str, str]) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    assert secret_header(file) == header


@pytest.mark.parametrize("text", [b"", b"\n", b"one\ntwo", b"\xff", "ü".encode()])
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(text)
    with pytest.raises(BadInput, match=f"^vendordata_dynamic_token_file: {file}: expected one"):
        secret_header(file)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"a": NaN}', '{"a": "\\ud800"}'])
def test_a_static_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "vendor.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=f"^vendor_data: {file}: "):
        static_data(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (static_data, secret_header):
        with pytest.raises(BadInput, match="No such file"):
            read(tmp_path / "none")
