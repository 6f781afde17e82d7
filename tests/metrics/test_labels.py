"""Whatever guests send, labels are of a few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.metrics.labels import client_of, document_of

DOCUMENTS = {
    "/": "listing",
    "/openstack": "listing",
    "/openstack/latest/": "listing",
    "//openstack//latest//meta_data.json": "meta_data.json",
    "/openstack/2013-04-04/password": "password",
    "/openstack/content/0000": "content",
    "/openstack/latest/nothing": "other",
    "/latest/meta-data/": "ec2",
    "/2009-04-04/meta-data/public-keys/0/openssh-key": "ec2",
    "/latest/user-data": "user_data",
    "/latest/api/token": "token",
    "/mdsvc/v1/layout": "layout",
    "/mdsvc/v1/nothing": "other",
}
CLIENTS = {
    "": "none",
    "Cloud-Init/24.1": "cloud-init",
    "Ignition/2.14.0": "ignition",
    "aws-sdk-go/1.44": "aws",
    "Mozilla/5.0": "other",
}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_has_one_name_whatever_its_version(path: str) -> None:
    assert document_of(path) == DOCUMENTS[path]


@pytest.mark.parametrize("agent", CLIENTS)
def test_a_client_has_one_name_whatever_its_version(agent: str) -> None:
    assert client_of(agent) == CLIENTS[agent]


@given(st.text(), st.text())
def test_there_is_no_end_of_paths_and_agents_but_one_of_labels(path: str, agent: str) -> None:
    words = {*DOCUMENTS.values(), "user_data", "vendor_data.json", "vendor_data2.json"}
    assert document_of(path) in {
        *words,
        "network_data.json",
        "dedicated_cpus",
        "shared_cpus",
        "status",
    }
    assert len(client_of(agent)) < 20
