"""Nova's own metadata API for one guest, as the WSGI application that uWSGI is given.

It runs under the interpreter of `.venv-nova` alone and imports nothing of the project;
`bench/uwsgi.py` starts it. `BENCH_NOVA` is JSON: the guest (`instance` and `cells`, as for the
oracle of `tests/nova`), the `secret` of signatures, and the `port`, which is printed once it is
ready. The guest is read of Nova's objects once, as of its database; Nova's handler keeps it from
then on in its own cache, as it does for a guest that asks again within `metadata_cache_expiration`.
"""
# mypy: ignore-errors

import json
import logging
import os
import sys
import warnings
from pathlib import Path

# Nova's dependencies announce the end of eventlet on every start.
warnings.simplefilter("ignore")
# Its oracle builds the guest.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests/nova"))

import oracle_documents  # noqa: E402 - imports Nova, which must come after the filter above
from nova import conf, objects  # noqa: E402
from nova.api.metadata import base  # noqa: E402
from oslo_log import log  # noqa: E402
from paste import deploy  # noqa: E402

ASKED = json.loads(os.environ["BENCH_NOVA"])
PIPELINE = Path(base.__file__).parents[3] / "etc/nova/api-paste.ini"
HOURS = 3600 * 24


def configure():
    """Nova's defaults, behind Neutron's agent, without the configuration files of the machine."""
    logging.disable(logging.CRITICAL)
    objects.register_all()
    log.register_options(conf.CONF)
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    conf.CONF.set_override("service_metadata_proxy", True, group="neutron")
    conf.CONF.set_override("metadata_proxy_shared_secret", ASKED["secret"], group="neutron")
    conf.CONF.set_override("metadata_cache_expiration", HOURS, group="api")


configure()
guest = oracle_documents._instance_metadata(ASKED)
base.get_metadata_by_instance_id = lambda _uuid, _address: guest
application = deploy.loadapp(f"config:{PIPELINE}", name="metadata")
print(f"http://127.0.0.1:{ASKED['port']}", flush=True)
