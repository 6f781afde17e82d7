"""cloud-init's instance data, in the shapes that its releases 22.4 to 26.2 leave."""

from __future__ import annotations

from typing import Any

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout

from tests.guest.sources.guest import INSTANCE, SENSITIVE, FakeGuest, as_json

CPU = {"dedicated": "2-3,5-7", "generation": "1", "shared": "0-1,4"}


def instance(meta_data: dict[str, Any] | None = None, **ec2: Any) -> dict[str, Any]:
    """As in a guest of OpenStack's; the rest is left out."""
    return {
        "base64_encoded_keys": [],
        "ds": {
            "_doc": "EXPERIMENTAL: The structure and format of content scoped under the 'ds' key",
            "dsmode": "net",
            "ec2_metadata": {"ami-id": "ami-00000000", "instance-id": "i-1f1c2a0e", **ec2},
            "meta_data": {"instance-id": "1f1c2a0e", "uuid": "1f1c2a0e", **(meta_data or {})},
            "network_json": {},
        },
        "merged_cfg": "redacted for non-root user",
        "sensitive_keys": ["merged_cfg"],
        "v1": {"cloud_name": "openstack", "instance_id": "1f1c2a0e"},
    }


SAID: dict[str, tuple[Any, str]] = {
    "the field": (instance({"dedicated_cpus": "2-3"}), "2-3"),
    "the field as Nova has it": (instance({"dedicated_cpus": [2, 3]}), "2-3"),
    "no dedicated CPUs": (instance({"dedicated_cpus": ""}), ""),
    "Nova's no dedicated CPUs": (instance({"dedicated_cpus": []}), ""),
    "the leaf": (instance(cpu=CPU), "2-3,5-7"),
    "both": (instance({"dedicated_cpus": "1"}, cpu=CPU), "1"),
}


@pytest.mark.parametrize(("document", "cpus"), SAID.values(), ids=SAID)
@pytest.mark.parametrize("path", [INSTANCE, SENSITIVE])
def test_it_says(guest: FakeGuest, path: str, document: Any, cpus: str) -> None:
    guest.files[path] = as_json(document)
    assert sources.read("cloud-init", guest) == Layout(CpuSet.parse(cpus), "cloud-init")


def test_what_is_redacted_is_looked_for_where_it_is_not(guest: FakeGuest) -> None:
    guest.files[INSTANCE] = as_json(instance({"dedicated_cpus": "redacted for non-root user"}))
    guest.files[SENSITIVE] = as_json(instance({"dedicated_cpus": "2"}))
    assert sources.read("cloud-init", guest).dedicated == CpuSet.parse("2")
    guest.files[SENSITIVE] = PermissionError(13, "Permission denied")
    with pytest.raises(Unreachable, match="does not carry dedicated_cpus"):
        sources.read("cloud-init", guest)


SILENT: dict[str, object] = {
    "OpenStack's, of 2018-08-27": instance(),
    "EC2's": {"ds": {"meta_data": {"instance-id": "i-1"}}, "v1": {"cloud_name": "aws"}},
    "no data source": {"ds": {"_doc": ""}, "v1": {"cloud_name": "none"}},
    "nothing": {},
    "other shapes": {"ds": {"meta_data": ["dedicated_cpus"], "ec2_metadata": {"cpu": "x"}}},
    "null": instance({"dedicated_cpus": None}),
}


@pytest.mark.parametrize("document", SILENT.values(), ids=SILENT)
def test_that_it_says_nothing_means_that_nothing_is_known(
    guest: FakeGuest, document: object
) -> None:
    guest.files[INSTANCE] = as_json(document)
    message = "^cloud-init's instance data does not carry dedicated_cpus$"
    with pytest.raises(Unreachable, match=message) as caught:
        sources.read("cloud-init", guest)
    assert not isinstance(caught.value, Unavailable)


def test_without_cloud_init_it_is_unreachable(guest: FakeGuest) -> None:
    with pytest.raises(Unreachable, match=f"^{INSTANCE}: no such file$"):
        sources.read("cloud-init", guest)


GARBAGE = (b"", b"[]", b"\xff", b'{"ds": ', as_json(instance({"dedicated_cpus": {"2": 3}})))


@pytest.mark.parametrize("data", GARBAGE, ids=[repr(data[:9]) for data in GARBAGE])
def test_garbage_is_bad_input_that_names_the_file(guest: FakeGuest, data: bytes) -> None:
    guest.files[INSTANCE] = data
    with pytest.raises(BadInput, match=f"^{INSTANCE}"):
        sources.read("cloud-init", guest)


def test_a_large_document_is_read(guest: FakeGuest) -> None:
    """Vendor data is in it, and may be megabytes."""
    guest.files[INSTANCE] = as_json({**instance({"dedicated_cpus": "2"}), "x": "x" * (4 << 20)})
    assert sources.read("cloud-init", guest).dedicated == CpuSet.parse("2")


WRITTEN = "/etc/mdguest/layout.json"


def test_the_file_that_it_was_told_to_write_counts_where_its_data_say_nothing(
    guest: FakeGuest,
) -> None:
    guest.files[WRITTEN] = as_json({"dedicated_cpus": "1-3", "realtime_cpus": "3"})
    layout = Layout(CpuSet.parse("1-3"), "cloud-init", realtime=CpuSet.parse("3"))
    assert sources.read("cloud-init", guest) == layout
    guest.files[INSTANCE] = as_json(instance())
    assert sources.read("cloud-init", guest) == layout
    guest.files[INSTANCE] = as_json(instance({"dedicated_cpus": "2"}))
    assert sources.read("cloud-init", guest).dedicated == CpuSet.parse("2")


def test_a_file_that_is_none_is_named(guest: FakeGuest) -> None:
    guest.files[WRITTEN] = b"{"
    with pytest.raises(BadInput, match=WRITTEN):
        sources.read("cloud-init", guest)
