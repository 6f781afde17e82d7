"""What cloud-init's own ConfigDrive datasource, unchanged, finds on a disk: JSON on stdout.

    PYTHONPATH=.cache/cloud-init/usr/lib/python3/dist-packages \
        /usr/bin/python3 -P tests/cloudinit/read_drive.py SEED

Run as root by Debian's Python. A folder SEED/config_drive stands for the disk, where there is one.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path


def main(seed: str) -> None:
    from cloudinit import distros, log
    from cloudinit.helpers import Paths
    from cloudinit.sources.DataSourceConfigDrive import DataSourceConfigDrive

    log.setupBasicLogging(log.WARNING)
    with tempfile.TemporaryDirectory(prefix="cloud-init-") as directory:
        paths = Paths({"cloud_dir": f"{directory}/cloud", "run_dir": f"{directory}/run"})
        paths.seed_dir = seed
        distro = distros.fetch("debian")("debian", {}, paths)
        source = DataSourceConfigDrive({}, distro, paths)
        if not source.get_data():
            raise SystemExit("cloud-init found no config drive")
        user_data = source.get_userdata_raw()
        raw = user_data.encode() if isinstance(user_data, str) else user_data or b""
        instance = json.loads(Path(paths.get_runpath("instance_data_sensitive")).read_text())
        print(
            json.dumps(
                {
                    "where": source.source,
                    "subplatform": source.subplatform,
                    "instance_id": source.get_instance_id(),
                    "hostname": source.get_hostname(metadata_only=True).hostname,
                    "public_ssh_keys": source.get_public_ssh_keys(),
                    "user_data": base64.b64encode(raw).decode(),
                    "vendor_data2": source.vendordata2_pure,
                    "network_data": source.network_json,
                    "meta_data": instance["ds"]["meta_data"],
                    "ec2": source.ec2_metadata,
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1])
