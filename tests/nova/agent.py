"""Neutron 29.0.0's metadata agent for OVN, at a Unix socket, and what its haproxy is to do.

    .venv-nova/bin/python -E -s agent.py SETTINGS

It runs under the interpreter of `.venv-nova` alone and imports nothing of the project;
`programs.py` starts it. SETTINGS is JSON: `{"folder": PATH, "upstream": PORT, "secret": TEXT,
"address": ADDRESS, "guests": {IP: [UUID, PROJECT]}}`. The first line out is `{"socket": PATH,
"haproxy": TEXT}`; the program ends with its standard input. Server, handler and haproxy's settings
are Neutron's own; only OVN's database, which says whose an address is, is the table of guests.
"""
# mypy: ignore-errors

import json
import pathlib
import sys
import threading
import types
import warnings

# Its dependencies announce the end of eventlet on every start.
warnings.simplefilter("ignore")

from neutron.agent.metadata import proxy_base  # noqa: E402
from neutron.agent.ovn.metadata import driver, server_socket  # noqa: E402
from neutron.conf.agent.metadata import config  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402

NETWORK = "00000000-0000-4000-8000-00000000000f"
WORKERS = 8


class Bindings:
    """OVN's southbound database, of one network."""

    def __init__(self, guests):
        self._guests = guests

    def get_network_port_bindings_by_ip(self, network, address, mac=None):
        if network != NETWORK or address not in self._guests:
            return []
        uuid, project = self._guests[address]
        ids = {"neutron:device_id": uuid, "neutron:project_id": project}
        return [types.SimpleNamespace(uuid=address, external_ids=ids)]


def configured(settings):
    """Neutron's settings, with those that a cloud's operator makes."""
    conf = cfg.CONF
    log.register_options(conf)
    config.register_meta_conf_opts(config.SHARED_OPTS)
    config.register_meta_conf_opts(config.UNIX_DOMAIN_METADATA_PROXY_OPTS)
    config.register_meta_conf_opts(config.METADATA_PROXY_HANDLER_OPTS)
    config.register_meta_conf_opts(config.METADATA_RATE_LIMITING_OPTS, group="rate")
    config.register_meta_conf_opts(config.METADATA_HAPROXY_OPTS, group="haproxy")
    conf([], project="neutron", default_config_files=[], default_config_dirs=[])
    conf.set_override("nova_metadata_host", "127.0.0.1")
    conf.set_override("nova_metadata_port", settings["upstream"])
    conf.set_override("metadata_proxy_shared_secret", settings["secret"])
    return conf


def main():
    settings = json.loads(sys.argv[1])
    conf = configured(settings)
    path = str(pathlib.Path(settings["folder"], "agent"))
    handler = server_socket.MetadataProxyHandler
    handler._conf = conf
    handler._sb_idl = Bindings(settings["guests"])
    server = proxy_base.MetadataProxyServer(WORKERS, path, handler)
    server.socket.listen(conf.metadata_backlog)
    haproxy = driver.HaproxyConfigurator(
        NETWORK, None, path, settings["address"], 80, "root", "root", settings["folder"],
        path + ".pid", conf.rate, conf.haproxy,
    )  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"socket": path, "haproxy": haproxy.haproxy_cfg}), flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
