"""What is set of the target, and how it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mdsvc.errors import BadInput, NotFound
from mdsvc.server import listeners, overlay_listeners, target_listeners
from mdsvc.settings import Settings, load
from mdsvc.store.memory import MemoryStore

ANY: dict[str, Any] = {
    "guest": ("127.0.0.1:0",),
    "operator": "127.0.0.1:0",
    "vendordata": "127.0.0.1:0",
}


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MDSVC_VENDORDATA": "nowhere"}, "MDSVC_VENDORDATA: expected ADDR:PORT"),
        ({"MDSVC_VENDORDATA_SECRET": "a,"}, "MDSVC_VENDORDATA_SECRET: expected no empty secret"),
        ({"MDSVC_VENDORDATA_LAYOUTS": "cloud"}, "MDSVC_VENDORDATA_LAYOUTS: expected cloud to be"),
        ({"MDSVC_VENDORDATA_LAYOUTS": "nova"}, "MDSVC_VENDORDATA_LAYOUTS"),
        (
            {"MDSVC_VENDORDATA": "127.0.0.1:1", "MDSVC_UPSTREAM": "http://127.0.0.1:2"},
            "MDSVC_VENDORDATA: expected cloud to be set",
        ),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        load(None, environ, {})


async def test_it_listens_beside_guests_and_operators() -> None:
    async with listeners(Settings(**ANY), MemoryStore()) as lines:
        assert [line.split(":")[0] for line in lines] == ["guests", "operator", "vendor data"]
        assert lines[-1].endswith("(layouts of the store)")


async def test_alone_it_needs_no_store_and_beside_the_overlay_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clouds.yaml"
    auth = "{auth_url: 'http://127.0.0.1:1', username: u, password: p, project_name: s}"
    file.write_text(f"clouds: {{c: {{auth: {auth}}}}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    async with target_listeners(Settings(**ANY, cloud="c")) as lines:
        assert [line.split(":")[0] for line in lines] == ["vendor data", "operator"]
    over = Settings(
        **ANY,
        cloud="c",
        identity="neutron",
        shared_secret=("s",),
        upstream=("http://127.0.0.1:1",),
    )
    async with overlay_listeners(over) as lines:
        assert [line.split(":")[0] for line in lines] == ["guests", "operator", "vendor data"]
    with pytest.raises(NotFound, match="no cloud other"):
        async with target_listeners(Settings(**ANY, cloud="other")):
            pass


async def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in (b"\xff", b" \n", None):
        file = tmp_path / "template"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(BadInput, match=f"vendordata_template: {file}"):
            async with listeners(Settings(**ANY, vendordata_template=file), MemoryStore()):
                pass
