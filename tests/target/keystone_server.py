"""A real Keystone on loopback: SQLite, Fernet tokens, everything in a folder of its own.

Run in `.venv-nova` with the folder and the URL of the compute service for its catalog; it prints
its port and a token of `nova` that is over, once it answers. Users: `admin` (role admin), `nova`
(role service) and `plain` (role member), each with the password `right`, in the project `service`
of the domain `Default`.
"""

from __future__ import annotations

import os
import pathlib
import sys
import uuid
import wsgiref.simple_server
from socketserver import ThreadingMixIn
from typing import Any

from typing_extensions import override

SETTINGS = """
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[fernet_receipts]
key_repository = {folder}/receipts
[token]
expiration = {seconds}
allow_expired_window = 0
[cache]
enabled = false
[identity]
password_hash_rounds = 4
"""


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    @override
    def log_message(self, *_args: object) -> None:
        """Nothing: its own log says it."""


class Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


def main(folder: pathlib.Path, compute: str, seconds: str) -> None:
    file = folder / "keystone.conf"
    sys.argv[1:] = []  # Keystone reads them too
    file.write_text(SETTINGS.format(folder=folder, seconds=seconds))
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(file)
    make_keys(folder)
    from keystone.server.flask import core

    application = core.initialize_application(name="public", config_files=[str(file)])
    make_tables()
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, application, server_class=Server, handler_class=Quiet
    )
    expired = fill(f"http://127.0.0.1:{server.server_port}", compute)
    print(server.server_port, expired, sep="\n", flush=True)
    server.serve_forever()


def make_keys(folder: pathlib.Path) -> None:
    from keystone.common import fernet_utils

    groups = {"fernet": "fernet_tokens", "receipts": "fernet_receipts", "credential": "credential"}
    for name, group in groups.items():
        (folder / name).mkdir(mode=0o700)
        utils = fernet_utils.FernetUtils(str(folder / name), 3, group)
        utils.initialize_key_repository()


def make_tables() -> None:
    """As Keystone's own tests make them."""
    from keystone.common import sql

    with sql.session_for_write() as session:
        sql.ModelBase.metadata.create_all(session.connection())


def fill(url: str, compute: str) -> str:
    """What `keystone-manage bootstrap` makes, and users for the test; a token that is over."""
    from keystone.cmd import bootstrap
    from keystone.common import provider_api
    from keystone.server import backends

    backends.load_backends = lambda: None  # they are loaded, and cannot be twice
    boot = bootstrap.Bootstrapper()
    boot.admin_username, boot.admin_password, boot.admin_role_name = "admin", "right", "admin"
    boot.project_name, boot.region_id, boot.service_name = "service", "r1", "keystone"
    boot.public_url = boot.internal_url = boot.admin_url = f"{url}/v3"
    boot.bootstrap()
    api = provider_api.ProviderAPIs
    project = api.resource_api.get_project_by_name("service", "default")["id"]
    roles = {role["name"]: role["id"] for role in api.role_api.list_roles()}
    token = None
    for name, role in (("nova", "service"), ("plain", "member")):
        user = {"name": name, "password": "right", "domain_id": "default", "enabled": True}
        made = api.identity_api.create_user(user)
        api.assignment_api.add_role_to_user_and_project(made["id"], project, roles[role])
        if name == "nova":
            token = api.token_provider_api.issue_token(
                made["id"], ["password"], "2020-01-01T00:00:00.000000Z", project_id=project
            )
    add_compute(api, compute)
    assert token, "nova is one of them"
    return str(token.id)


def add_compute(api: Any, url: str) -> None:
    service, endpoint = uuid.uuid4().hex, uuid.uuid4().hex
    api.catalog_api.create_service(
        service, {"id": service, "type": "compute", "name": "nova", "enabled": True}
    )
    where = {"interface": "public", "region_id": "r1", "url": url, "enabled": True}
    api.catalog_api.create_endpoint(endpoint, {"id": endpoint, "service_id": service, **where})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3])
