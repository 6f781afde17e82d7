"""The command on a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Mdsvc


@pytest.fixture
def mdsvc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mdsvc:
    """The command on a store that does not exist yet."""
    return Mdsvc(monkeypatch, f"sqlite:///{tmp_path}/store.db")
