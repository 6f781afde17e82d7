"""Nova 34.0.0 as an outside reference: JSON lines in, one JSON line out for each.

It runs under the interpreter of `.venv-nova` alone and imports nothing of the project. `client.py`
starts it. Operations, named by `"op"`:

`flavor`
    `{"flavor": FLAVOR, "image": IMAGE}` -> the guest NUMA topology that Nova derives, or the
    error that it raises.
`documents`
    `{"instance": INSTANCE, "cells": [CELL...] | null, "vendor_data": {...} | null}` -> every
    answer of Nova's metadata API for this guest.
`domains`
    `{"host": HOST, "guests": [INSTANCE...]}` -> the domain of each guest in turn, as Nova's fitter
    places it and its libvirt driver writes it; `null` for one that does not fit.
`known_keys`
    `{}` -> the names of extra specs, image properties and resource classes that Nova knows.

What goes wrong in the request itself is `{"ok": false, "error": CLASS, "message": TEXT}` too, and
the next line is read.
"""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc"

import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

# Nova's dependencies announce the end of eventlet on every start.
warnings.simplefilter("ignore")

import oracle_documents  # noqa: E402 - imports Nova, which must come after the filter above
import oracle_domains  # noqa: E402
import oracle_flavors  # noqa: E402
from oslo_log import log  # noqa: E402

from nova import conf  # noqa: E402
from nova import objects as nova_objects  # noqa: E402

OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "flavor": oracle_flavors.answer,
    "documents": oracle_documents.answer,
    "domains": oracle_domains.answer,
    "known_keys": oracle_flavors.known_keys,
}


def configure() -> None:
    """Load Nova's defaults, without the configuration files of the machine."""
    logging.disable(logging.CRITICAL)
    nova_objects.register_all()
    log.register_options(conf.CONF)
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    # The project takes host names whole; Nova would append `.novalocal` to them.
    conf.CONF.set_override("dhcp_domain", "", group="api")


def reply(line: str) -> dict[str, Any]:
    """Answer one request line."""
    try:
        request = json.loads(line)
        return {"ok": True, **OPERATIONS[request["op"]](request)}
    except Exception as error:  # noqa: BLE001 - whatever Nova raises is the answer
        return {"ok": False, "error": type(error).__name__, "message": str(error)}


def main() -> None:
    """Serve standard input until it ends."""
    configure()
    for line in sys.stdin:
        print(json.dumps(reply(line)), flush=True)


if __name__ == "__main__":
    main()
