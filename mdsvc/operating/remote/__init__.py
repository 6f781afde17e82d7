"""The operator's use cases, asked of a running server over its ``/v1``."""

from __future__ import annotations

from collections.abc import Mapping

from mdsvc.operating.remote.connection import Connection
from mdsvc.operating.remote.hosts import RemoteHosts
from mdsvc.operating.remote.instances import RemoteInstances
from mdsvc.operating.remote.server import Server
from mdsvc.operating.remote.token import token_of


class Remote(RemoteHosts, RemoteInstances):
    """The ``Operator`` of the server at a URL; the token is the environment's."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        super().__init__(Server(Connection(url, token_of(environ))))
