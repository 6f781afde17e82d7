"""A whole Nova 34.0.0: JSON lines in, one JSON line out for each; its metadata API at a port.

It runs under the interpreter of `.venv-nova` alone and imports nothing of the project. Nova's own
functional fixtures make it: API, conductor, scheduler with the NUMA filter, Placement, databases in
memory, and libvirt's driver on a libvirt that is played. `programs.py` starts it with the secret
that requests are signed with, and for how many seconds a guest's metadata are kept. The first line
out is `{"port": PORT, "api": PORT}`: the metadata API, and Nova's own, which answers nobody until
it is told of a Keystone. Operations, named by `"op"`:

`boot`
    `{"flavor": {"vcpus": N, "extra_specs": {...}}, "server": {...}}` -> `{"uuid": …, "project": …}`
    of a guest that runs; `server` is what is asked of Nova's API beside name, image and flavor.
`rename`, `delete`, `show`, `topology`
    `{"uuid": …}` and for the first `"name"`; the last two are what Nova's API tells an
    administrator of the guest, and of its NUMA nodes.
`vendordata`
    `{"targets": ["NAME@URL", …]}`, which Nova asks from then on (`vendordata_dynamic_targets`).
`keystone`
    `{"url": URL}` of the Keystone that Nova's API asks from then on whose a token is; it
    also gives Nova the token that it sends for vendor data. Null: of none.
`asked`
    `{}` -> `{"count": N}`, the requests that the metadata API has had.

The host has two cells of four CPUs: 0-1 shared and 2-3 dedicated, 4 shared and 5-7 dedicated.
"""
# mypy: ignore-errors

import json
import logging
import os
import sys
import unittest
import warnings

# Nova's dependencies announce the end of eventlet on every start.
warnings.simplefilter("ignore")
os.environ.update(OS_STDOUT_CAPTURE="1", OS_STDERR_CAPTURE="1", OS_LOG_CAPTURE="1")

from nova import monkey_patch  # noqa: E402

monkey_patch.patch()

import eventlet  # noqa: E402
import eventlet.hubs  # noqa: E402
import eventlet.wsgi  # noqa: E402
from keystoneauth1 import loading  # noqa: E402
from keystonemiddleware import auth_token  # noqa: E402

from nova import service_auth  # noqa: E402
from nova.api import auth, wsgi  # noqa: E402
from nova.api.openstack import FaultWrapper, compute  # noqa: E402
from nova.conf import CONF  # noqa: E402
from nova.tests.fixtures import libvirt as played_libvirt  # noqa: E402
from nova.tests.functional.libvirt import test_numa_servers  # noqa: E402

OUT = os.fdopen(os.dup(1), "w")
"""The fixtures take `sys.stdout` for themselves."""


CONTEXT = auth.NovaKeystoneContext._create_context
API = "/v2.1"
VENDORDATA = "vendordata_dynamic_auth"


class Context(auth.NovaKeystoneContext):
    """Who asks by Keystone's word, not by the fixtures'."""

    _create_context = staticmethod(CONTEXT)


class Cloud(test_numa_servers.NUMAServersTestBase):
    """Nova's fixtures are set up and taken down as around a test of its own."""

    microversion = "latest"

    def runTest(self):  # noqa: N802 - as unittest calls it
        self.flags(cpu_shared_set="0-1,4", cpu_dedicated_set="2-3,5-7", group="compute")
        self.flags(vcpu_pin_set=None)
        self.flags(
            service_metadata_proxy=True, metadata_proxy_shared_secret=sys.argv[1], group="neutron"
        )
        cells = played_libvirt.HostInfo(cpu_nodes=2, cpu_sockets=1, cpu_cores=4, cpu_threads=1)
        self.start_compute(host_info=cells, hostname="compute1")
        self.flags(metadata_cache_expiration=int(sys.argv[2]), group="api")
        self.app, self.count = wsgi.Loader().load_app("metadata"), 0
        self.compute = None
        tell({"port": serve(self.counted), "api": serve(self.versioned)})
        for line in lines():
            tell(self.answer(json.loads(line)))

    def counted(self, environ, start_response):
        self.count += 1
        return self.app(environ, start_response)

    def versioned(self, environ, start_response):
        if self.compute is None or not environ["PATH_INFO"].startswith(API):
            start_response("503 Service Unavailable", [])
            return []
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = API, environ["PATH_INFO"][len(API) :]
        return self.compute(environ, start_response)

    def keystone(self, url):
        service_auth.reset_globals()
        if url is None:
            self.compute = None
            self.flags(auth_type=None, group=VENDORDATA)
            return {}
        who = {"auth_type": "password", "auth_url": f"{url}/v3"}
        who |= {"username": "nova", "password": "right", "project_name": "service"}
        who |= {"user_domain_name": "Default", "project_domain_name": "Default"}
        behind = Context(compute.APIRouterV21.factory({}))
        asks = auth_token.AuthProtocol(behind, who | {"www_authenticate_uri": url})
        self.compute = FaultWrapper(asks)
        CONF.register_opts(loading.get_auth_plugin_conf_options("password"), group=VENDORDATA)
        self.flags(**who, group=VENDORDATA)
        return {}

    def asked(self):
        return {"count": self.count}

    def answer(self, question):
        op = getattr(self, question.pop("op"))
        try:
            return {"ok": True, **op(**question)}
        except Exception as error:  # noqa: BLE001 - whatever Nova raises is the answer
            return {"ok": False, "error": type(error).__name__, "message": str(error)}

    def boot(self, flavor, server):
        flavor_id = self._create_flavor(
            vcpu=flavor["vcpus"], memory_mb=512, extra_spec=flavor.get("extra_specs", {})
        )
        asked = self._build_server(flavor_id=flavor_id, networks="auto")
        booted = self.api.post_server({"server": {**asked, **server}})
        booted = self._wait_for_state_change(booted, "ACTIVE")
        return {"uuid": booted["id"], "project": booted["tenant_id"]}

    def rename(self, uuid, name):
        self.api.put_server(uuid, {"server": {"name": name}})
        return {}

    def delete(self, uuid):
        self._delete_server({"id": uuid})
        return {}

    def vendordata(self, targets):
        self.flags(
            vendordata_providers=["StaticJSON", "DynamicJSON"],
            vendordata_dynamic_targets=targets,
            group="api",
        )
        return {}

    def show(self, uuid):
        return self.admin_api.api_get(f"/servers/{uuid}").body

    def topology(self, uuid):
        return self.admin_api.api_get(f"/servers/{uuid}/topology").body


def serve(app):
    """At a port of loopback; which that is."""
    listener = eventlet.listen(("127.0.0.1", 0))
    eventlet.spawn(eventlet.wsgi.server, listener, app, log_output=False, debug=False)
    return listener.getsockname()[1]


def lines():
    """Of standard input, while all else goes on."""
    rest = b""
    while True:
        eventlet.hubs.trampoline(0, read=True)
        part = os.read(0, 65536)
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        yield from whole


def tell(answer):
    print(json.dumps(answer), file=OUT, flush=True)


if __name__ == "__main__":
    logging.raiseExceptions = False
    result = unittest.TestResult()
    Cloud().run(result)
    for _, trace in [*result.errors, *result.failures]:
        print(trace, file=sys.stderr)
    sys.exit(not result.wasSuccessful())
