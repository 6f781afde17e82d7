"""Nova's own code for dynamic vendor data, run in `.venv-nova`: `nova.conf` as the argument.

A line on stdin is an instance as JSON, and is answered by a line with what goes into its
`vendor_data2.json`. With `revoked` as the second argument the token that Nova has is revoked at
Keystone before it is used, so that it is good no more and Nova does not know; then the line also
says whether Nova has got a new one.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any


def main(conf: str, revoked: bool) -> None:
    import nova.conf
    from nova.api.metadata import vendordata_dynamic

    nova.conf.CONF(["--config-file", conf], project="nova")
    for line in sys.stdin:
        driver = vendordata_dynamic.DynamicVendorData(SimpleNamespace(**json.loads(line)))
        if revoked:
            driver.session = vendordata_dynamic._load_ks_session(nova.conf.CONF)
            token = revoke(driver.session)
            answer = driver.get()
            answer["renewed"] = driver.session.get_token() != token
        else:
            answer = driver.get()
        print(json.dumps(answer), flush=True)


def revoke(session: Any) -> Any:
    url, token = session.auth.get_endpoint(session, service_type="identity"), session.get_token()
    session.delete(f"{url}/auth/tokens", headers={"X-Subject-Token": token})
    return token


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["revoked"])
