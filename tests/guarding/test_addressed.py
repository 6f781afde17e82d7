"""What a guest may call the service."""

from __future__ import annotations

import pytest

from mdsvc.errors import BadInput, Forbidden
from mdsvc.guarding.addressed import check_host


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "169.254.169.254:80", "127.0.0.1:8775", "[::1]:8775"),
        *("[fe80::a9fe:a9fe]", "[fe80::a9fe:a9fe%25eth0]", "[fe80::a9fe:a9fe%eth0]:80"),
        *("metadata", "Metadata:80", "instance-data.", "localhost:8775", "bench", "md.example"),
    ],
)
def test_addresses_and_its_names(host: str) -> None:
    check_host([host], {"md.example"})


def test_no_host_is_no_browser() -> None:
    check_host([], ())


@pytest.mark.parametrize(
    "host",
    ["evil.example", "169.254.169.254.evil.example", "metadata@evil", "", "a b", "[evil]", "évil"],
)
def test_no_other_name(host: str) -> None:
    with pytest.raises(Forbidden, match="guest_names"):
        check_host([host], ())


def test_one_is_enough() -> None:
    with pytest.raises(BadInput):
        check_host(["metadata", "metadata"], ())
