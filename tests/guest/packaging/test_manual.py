"""mdguest(8): it says all that the program says of itself, and roff has nothing to say of it."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest
from mdguest import __version__, errors
from mdguest.help import COMMANDS
from mdguest.render import RENDERERS
from mdguest.settings import MODES, NAMES
from mdguest.status import METRICS

from tests.guest.packaging.building import GUEST_TOOLS, ROOT

SETTINGS = [f"MDGUEST_{name.upper()}" for name in NAMES]


@pytest.fixture(scope="module")
def source(tree: Path) -> str:
    return gzip.decompress((tree / "usr/share/man/man8/mdguest.8.gz").read_bytes()).decode()


def formatted(source: str) -> tuple[str, str]:
    """The page as people see it, and what roff warns of."""
    command = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n", "-Kutf8"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def page(source: str) -> str:
    # Debian's groff shows ASCII; others may show typographic forms of what is to be typed
    return formatted(source)[0].translate(str.maketrans("\u2010\u2212\u2019", "--'"))


def section(page: str, title: str) -> str:
    """The text under a heading, to the next one that is indented no deeper."""
    [found] = re.findall(rf"(?m)^( *){re.escape(title)}$", page)
    rest = page.partition(f"\n{found}{title}\n")[2]
    return re.split(rf"(?m)^ {{0,{len(found)}}}\S", rest)[0]


def command_section(page: str, name: str) -> str:
    [title] = re.findall(rf"(?m)^ +(mdguest {name} \[options\].*)$", page)
    return section(page, title)


def test_roff_has_no_warning(source: str) -> None:
    assert formatted(source)[1] == ""


def test_what_roff_would_warn_of_is_found() -> None:
    assert formatted(".TH A 8\n.SH NAME\n.NOSUCH\n")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_has_every_command_with_all_its_options_and_examples(name: str, page: str) -> None:
    text, shared = command_section(page, name), section(page, "COMMON OPTIONS")
    for names, settings in COMMANDS[name].options:
        if names[0].startswith("-"):
            assert names[0] in text
            assert " ".join(settings["help"].split()) in " ".join((text + shared).split())
    for example in COMMANDS[name].examples:
        assert example in text
    assert " ".join(COMMANDS[name].about.split()) in " ".join(text.split())


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_in_the_manual_the_settings_file_and_the_guide(
    name: str, page: str
) -> None:
    assert f"{name}\n" in section(page, "SETTINGS")
    assert f"\n#{name}=" in (GUEST_TOOLS / "debian/default").read_text()
    assert name in (ROOT / "docs/guest.md").read_text()


def test_it_names_no_setting_that_there_is_not(page: str) -> None:
    assert set(re.findall(r"\bMDGUEST_\w+", page)) == set(SETTINGS)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_explained(mode: str, page: str) -> None:
    assert re.search(rf"(?m)^ +{mode}( |$)", section(page, "Modes"))
    assert f"| `{mode}` |" in (ROOT / "docs/guest.md").read_text()


def test_it_lists_what_can_be_rendered_and_what_is_measured(page: str) -> None:
    for name, renderer in RENDERERS.items():
        assert name in section(page, "What can be rendered")
        assert renderer.summary in page
    assert all(name in section(page, "METRICS") for name in METRICS)


def test_it_has_every_exit_status(page: str) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {kind.exit_status for kind in kinds if issubclass(kind, errors.Trouble)} | {0}
    listed = re.findall(r"(?m)^ {7}(\d)\b", section(page, "EXIT STATUS"))
    assert {int(status) for status in listed} == statuses


def test_every_file_that_it_names_is_one_that_the_program_uses(page: str) -> None:
    sources = "".join(path.read_text() for path in (GUEST_TOOLS / "mdguest").rglob("*.py"))
    for path in re.findall(r"(?m)^ {7}(/\S+)$", section(page, "FILES")):
        assert Path(path).name in sources, path


def test_it_is_of_this_version(source: str) -> None:
    assert f'"mdguest {__version__}"' in source
    assert not re.search(r"@[A-Z]+@", source), "nothing is left to fill in"
