"""What the sample guests are shown, as it is to stay for ever: every path of every version.

A folder for each guest of ``guests/``. In it, for each version of OpenStack's metadata, its
listing, its ``meta_data.json`` and all ``others``; the files below ``content``; and the EC2 tree,
one file for each version, and the project's own. Text ends in a newline here, so that it is a text
file; what is served does not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mdsvc.documents import Answer, Documents, ec2
from mdsvc.forms import from_json
from mdsvc.instance import PlacedInstance
from mdsvc.versions import VERSIONS, Options
from tests.http.tree import crawl, segments

HERE = Path(__file__).parent
FROZEN = HERE / "frozen"
WITH_VENDOR_DATA = Options(vendor_data={"site": "zrh-1", "mirrors": ["a", "b"]})
SAMPLES: Mapping[str, Options] = {
    "mixed": WITH_VENDOR_DATA,  # what is wanted most, and one of everything
    "bare": Options(),  # nothing that need not be
    "devices": WITH_VENDOR_DATA,  # devices of every kind and bus, user data that is no text
}
"""The guests by their files' names, each with what its operator has set."""


def entropy(count: int) -> bytes:
    """The same bytes every time."""
    return bytes(number % 256 for number in range(count))


class Reader:
    """Reads the documents of a sample guest."""

    def __init__(self, sample: str, options: Options | None = None) -> None:
        form = (HERE / "guests" / f"{sample}.json").read_bytes()
        self.guest = from_json(form, PlacedInstance)
        self._documents = Documents(options or SAMPLES[sample], entropy)

    def answer(self, path: str) -> Answer:
        answer = self._documents.find(self.guest, segments(path))
        assert answer, f"there is no {path}"
        return answer

    def body(self, path: str) -> bytes:
        return self.answer(path).reply(entropy)

    def text(self, path: str) -> str:
        return self.body(path).decode()

    def files(self) -> dict[str, str]:
        """Every file of the guest that is to stay as it is, by its name below its folder."""
        trees = {**dict(_openstack(self)), **dict(_ec2(self))}
        return {**trees, "mdsvc.json": _tree(self, "/mdsvc")}


def frozen() -> dict[str, str]:
    """Every file that is to stay as it is, by its name below ``FROZEN``."""
    return {
        f"{sample}/{name}": text
        for sample in SAMPLES
        for name, text in Reader(sample).files().items()
    }


def _openstack(reader: Reader) -> Iterator[tuple[str, str]]:
    yield "openstack/listing", reader.text("/openstack") + "\n"
    content = [f"/openstack/content/{at:04}" for at in range(len(reader.guest.files))]
    yield "openstack/content.json", _typed(reader, content)
    for version in VERSIONS:
        folder = f"openstack/{version}"
        paths = [path for path, is_folder in crawl(reader.text, f"/{folder}") if not is_folder]
        paths.remove(f"/{folder}/meta_data.json")
        yield f"{folder}/listing", reader.text(f"/{folder}") + "\n"
        yield f"{folder}/meta_data.json", reader.text(f"/{folder}/meta_data.json") + "\n"
        yield f"{folder}/others.json", _typed(reader, paths)


def _ec2(reader: Reader) -> Iterator[tuple[str, str]]:
    yield "ec2/listing", reader.text("/") + "\n"
    for version in ec2.VERSIONS:
        yield f"ec2/{version}.json", _tree(reader, f"/{version}")


def _typed(reader: Reader, paths: list[str]) -> str:
    """What these paths give, each with its content type."""
    return _text({path: [reader.answer(path).content_type, _shown(reader, path)] for path in paths})


def _tree(reader: Reader, folder: str) -> str:
    """Every path below a folder with what it gives, listings too."""
    return _text({path: _shown(reader, path) for path, _ in crawl(reader.text, folder)})


def _shown(reader: Reader, path: str) -> object:
    """Text as text, and what is none in base64, as in the forms of instances."""
    body = reader.body(path)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _text(found: Mapping[str, object]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
