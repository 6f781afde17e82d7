"""Clients from PyPI, unchanged, as their users call them: what each learns, as JSON on stdout.

.venv-clients/bin/python tests/clients/play_python.py CLIENT
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any


def boto3() -> dict[str, Any]:
    """No roles are served, so there are no credentials; the region is that of the zone."""
    import boto3 as aws
    from botocore.utils import IMDSFetcher, IMDSRegionProvider

    session = aws.session.Session()
    credentials = session.get_credentials()
    fetcher = IMDSFetcher()
    token = fetcher._fetch_metadata_token()
    path = "latest/meta-data/instance-id"
    answer = fetcher._get_request(path, lambda _response: False, token=token)
    return {
        "credentials": None if credentials is None else credentials.access_key,
        "region": IMDSRegionProvider(session._session).provide(),
        "instance_id": answer.text,
        "has_token": token is not None,
    }


def ec2_metadata() -> dict[str, Any]:
    from ec2_metadata import ec2_metadata as guest

    user_data = guest.user_data
    return {
        "instance_id": guest.instance_id,
        "instance_type": guest.instance_type,
        "availability_zone": guest.availability_zone,
        "private_hostname": guest.private_hostname,
        "private_ipv4": guest.private_ipv4,
        "security_groups": guest.security_groups,
        "spot_instance_action": guest.spot_instance_action,
        "user_data": None if user_data is None else base64.b64encode(user_data).decode(),
    }


def cloudbase_init() -> dict[str, Any]:
    """Its OpenStack service; of Windows only the route to the service is left out."""
    from cloudbaseinit import conf
    from cloudbaseinit.metadata.services import httpservice

    conf.CONF(["--nodebug"], project="cloudbase-init")
    conf.CONF.set_override("add_metadata_private_ip_route", False, "openstack")
    conf.CONF.set_override("retry_count", 1)
    conf.CONF.set_override("retry_count_interval", 0.01)
    service = httpservice.HttpService()
    if not service.load():
        return {"loaded": False}
    details = service.get_network_details_v2()
    try:
        user_data = base64.b64encode(service.get_user_data()).decode()
    except Exception as error:  # noqa: BLE001  # what a plugin would see
        user_data = type(error).__name__
    before = service.is_password_set
    return {
        "loaded": True,
        "instance_id": service.get_instance_id(),
        "host_name": service.get_host_name(),
        "public_keys": sorted(service.get_public_keys()),
        "user_data": user_data,
        "addresses": [network.address_cidr for network in details.networks] if details else [],
        "can_post_password": service.can_post_password,
        "password_before": before,
        "posted": _posted(service, b"c2VjcmV0"),
        "posted_again": _posted(service, b"b3RoZXI="),
        "password_after": service.is_password_set,
    }


def _posted(service: Any, password: bytes) -> object:
    """It means to say False where it is set already, and since it asks by requests it raises."""
    try:
        return service.post_password(password)
    except Exception as error:  # noqa: BLE001  # whatever it raises, the status is in it
        return getattr(getattr(error, "response", None), "status_code", repr(error))


CLIENTS = {"boto3": boto3, "ec2-metadata": ec2_metadata, "cloudbase-init": cloudbase_init}

if __name__ == "__main__":
    print(json.dumps(CLIENTS[sys.argv[1]]()))
