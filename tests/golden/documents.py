"""What the sample guest of ``guest.json`` is shown, as it is to stay for ever.

One file for each version: its listing and its meta_data.json, the EC2 tree, and the project's own.
Text ends in a newline here, so that it is a text file; what is served does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mdsvc.documents import Answer, Documents, ec2
from mdsvc.forms import from_json
from mdsvc.instance import PlacedInstance
from mdsvc.versions import VERSIONS, Options
from tests.http.tree import crawl, segments

HERE = Path(__file__).parent
FROZEN = HERE / "frozen"
GUEST = from_json((HERE / "guest.json").read_bytes(), PlacedInstance)


def entropy(count: int) -> bytes:
    """The same bytes every time."""
    return bytes(number % 256 for number in range(count))


class Reader:
    """Reads the guest's documents."""

    def __init__(self, options: Options | None = None) -> None:
        self._documents = Documents(options or Options(), entropy)

    def answer(self, path: str) -> Answer:
        answer = self._documents.find(GUEST, segments(path))
        assert answer, f"there is no {path}"
        return answer

    def text(self, path: str) -> str:
        return self.answer(path).reply(entropy).decode()


def frozen() -> dict[str, str]:
    """Every file that is to stay as it is, by its name below ``FROZEN``."""
    return dict(_files(Reader()))


def _files(reader: Reader) -> Iterator[tuple[str, str]]:
    yield "openstack/listing", reader.text("/openstack") + "\n"
    for version in VERSIONS:
        folder = f"openstack/{version}"
        yield f"{folder}/listing", reader.text(f"/{folder}") + "\n"
        yield f"{folder}/meta_data.json", reader.text(f"/{folder}/meta_data.json") + "\n"
    yield "ec2/listing", reader.text("/") + "\n"
    for version in ec2.VERSIONS:
        yield f"ec2/{version}.json", _tree(reader, f"/{version}")
    yield "mdsvc.json", _tree(reader, "/mdsvc")


def _tree(reader: Reader, folder: str) -> str:
    """Every path below a folder with what it gives, listings too."""
    found = {path: reader.text(path) for path, _ in crawl(reader.text, folder)}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
