"""What a guest makes of its metadata: Debian's own cloud-init, unchanged, reads all of it once.

Run as root by Debian's Python, in a network namespace where 169.254.169.254 answers on port 80:

    PYTHONPATH=.cache/cloud-init/usr/lib/python3/dist-packages \
        /usr/bin/python3 -P mdsvc/demo/crawl.py

One JSON document on stdout, cloud-init's warnings on stderr; exit 1 where it finds no metadata.
``ds`` and ``v1`` are as templates and ``cloud-init query`` see them. Writes to a temporary
directory alone.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn


def become_guest() -> NoReturn:
    """Start again as the init of a container of OpenStack's.

    cloud-init asks the metadata server only on a machine that it takes for OpenStack's. A container
    says so by its init's environment, as a virtual machine does by its DMI product name.
    """
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, "-P", str(Path(__file__).resolve())]
    os.environ.update(product_name="OpenStack Nova")
    os.execvp(command[0], command)


def text_or_base64(content: bytes | str) -> object:
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def network_config(source: Any) -> object:
    """Return the configuration that cloud-init would write; None where a NIC is not there."""
    try:
        return source.network_config
    except ValueError as error:
        print(f"crawl: no network_config: {error}", file=sys.stderr)
        return None


def crawl(directory: Path) -> dict[str, object]:
    from cloudinit import distros, log, version
    from cloudinit.helpers import Paths
    from cloudinit.sources.DataSourceOpenStack import DataSourceOpenStack

    log.setupBasicLogging(log.WARNING)
    paths = Paths({"cloud_dir": str(directory / "cloud"), "run_dir": str(directory / "run")})
    config = {"datasource_list": ["OpenStack", "None"]}
    source = DataSourceOpenStack(config, distros.fetch("debian")("debian", config, paths), paths)

    started = time.monotonic()
    if not source.get_data():
        raise SystemExit("crawl: cloud-init found no OpenStack metadata")
    elapsed = time.monotonic() - started

    persisted = json.loads(Path(paths.get_runpath("instance_data_sensitive")).read_text())
    return {
        "cloud_init": version.version_string(),
        "elapsed_seconds": round(elapsed, 3),
        "hostname": source.get_hostname(metadata_only=True).hostname,
        "instance_id": source.get_instance_id(),
        "public_ssh_keys": source.get_public_ssh_keys(),
        "user_data": text_or_base64(source.get_userdata_raw()),
        "vendor_data": source.vendordata_pure,
        "vendor_data2": source.vendordata2_pure,
        "network_data": persisted["ds"].get("network_json"),
        "network_config": network_config(source),
        "files": {path: text_or_base64(content) for path, content in source.files.items()},
        "ds": persisted["ds"],
        "v1": persisted["v1"],
    }


def main() -> None:
    if os.getpid() != 1:
        become_guest()
    # cloud-init finds the NICs there; a mount from before shows those of another namespace.
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    with tempfile.TemporaryDirectory(prefix="cloud-init-") as directory:
        print(json.dumps(crawl(Path(directory)), indent=2))


if __name__ == "__main__":
    main()
