"""`mdsvc doctor`: what it refuses, and that it says who cannot boot."""

from __future__ import annotations

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import UUID


def test_a_service_that_nobody_runs_is_one_message(mdsvc: Mdsvc, unused_tcp_port: int) -> None:
    done = mdsvc("doctor", f"http://127.0.0.1:{unused_tcp_port}")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert f"127.0.0.1:{unused_tcp_port}" in done.err


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1", "http://", "http://a:99999", "http://a b/", "http://u:s3cret@a", "unix:x"],
)
def test_a_url_of_another_kind_is_refused(mdsvc: Mdsvc, url: str) -> None:
    done = mdsvc("doctor", url)
    assert (done.code, done.out) == (2, "")
    assert "URL: expected" in done.err
    assert "s3cret" not in done.err


def test_an_unknown_client_is_refused(mdsvc: Mdsvc) -> None:
    done = mdsvc("doctor", "--client", "cloudinit")
    assert (done.code, "cloud-init-22.4" in done.err) == (2, True)


def test_a_guest_is_named_with_its_project_and_a_secret(mdsvc: Mdsvc) -> None:
    assert "--project together" in mdsvc("doctor", "--instance", UUID).err
    done = mdsvc("doctor", "--instance", UUID, "--project", "p")
    assert (done.code, "MDSVC_SHARED_SECRET" in done.err) == (2, True)
