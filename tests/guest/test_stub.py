"""Until mdguest is built, it says so and does nothing else."""

from __future__ import annotations

import pytest
from mdguest import __version__
from mdguest.cli import TO_COME, main


def test_help_says_that_nothing_is_built_and_lists_what_will_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "not built yet" in shown
    assert all(f"\n  {command} " in shown for command in TO_COME)


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"mdguest {__version__}\n"


@pytest.mark.parametrize("command", TO_COME)
def test_every_command_fails_and_says_why(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--json", "--source", "metadata"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"mdguest: not implemented yet: {command}\n"
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [[], ["isolate"]], ids=["none", "unknown"])
def test_no_command_or_an_unknown_one_is_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
