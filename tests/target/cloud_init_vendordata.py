"""cloud-init's own way with `vendor_data2.json`, run by Debian's Python: the file is the argument.

Prints as JSON the files that its module `write_files` would write, after its schema has been
checked; fails where cloud-init would drop the vendor data.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(file: str) -> None:
    from cloudinit import user_data, util
    from cloudinit.config import cc_write_files, schema
    from cloudinit.helpers import Paths
    from cloudinit.sources import convert_vendordata

    raw = convert_vendordata(json.loads(Path(file).read_text()))
    processor = user_data.UserDataProcessor(Paths({"cloud_dir": "/nonexistent"}))
    written = []
    for part in processor.process(raw).walk():
        if part.get_content_type() == "text/cloud-config":
            config = util.load_yaml(part.get_payload(decode=True))
            schema.validate_cloudconfig_schema(config, strict=True)
            cc_write_files.util.write_file = lambda path, content, *_args, **_more: written.append(
                [path, content if isinstance(content, str) else content.decode()]
            )
            cc_write_files.util.chownbyname = lambda *_args: None
            cc_write_files.write_files("write-files", config["write_files"], "root")
    json.dump(written, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
