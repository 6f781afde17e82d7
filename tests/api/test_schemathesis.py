"""schemathesis over the OpenAPI document: no 500, and no answer that is not described.

It makes requests of the document, right ones and wrong ones, in the same order each time. What it
is not to say: that a body which keeps to its schema is refused, as rules between fields are in no
schema; and the events, whose answer has no end (``test_events``).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from mdsvc.api import ROUTES
from mdsvc.control.tokens import create_token
from mdsvc.store.opening import open_store
from tests.cli.serving import Serving

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def _token(url: str) -> str:
    store = await open_store(url)
    issued = await create_token(store, "schemathesis", read_only=False)
    await store.close()
    return issued.token


def test_every_answer_is_described_and_none_is_the_servers_fault(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    token = asyncio.run(_token(url))
    serving = Serving(url)
    try:
        done = subprocess.run(
            [
                *(str(SCHEMATHESIS), "run", f"{serving.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {token}"),
                *("--exclude-path", "/v1/events"),
                *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "2"),
                *("--generation-deterministic", "--continue-on-failure"),
                *("--warnings", "off", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
    finally:
        serving.stop()
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    apart = ("/v1/events", "/openapi.json")  # it does not call what it reads the document from
    called = [route for route in ROUTES if route.path not in apart]
    assert f"Tested: {len(called)}\n" in done.stdout
