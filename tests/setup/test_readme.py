"""What README.md and CONTRIBUTING.md say of set-up is what set-up does."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.setup.locks import FILES, REPOSITORY

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in ("architecture", "guest")))


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))


def code_of(page: str) -> str:
    """What is set as code in it, inline or in blocks; comments in blocks are prose."""
    text = text_of(page)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return "\n".join([*inline, *re.sub(r"#.*", "", "\n".join(blocks)).splitlines()])


@pytest.mark.parametrize("page", PAGES)
def test_every_target_that_is_named_is_in_the_makefile(page: str) -> None:
    named = set(re.findall(r"^\W*make ([a-z-]+)", code_of(page), re.MULTILINE))
    assert named <= targets()
    assert named or page not in PAGES[:2]


def test_every_target_that_is_listed_runs_what_is_there() -> None:
    for target in targets():
        done = subprocess.run(
            ["make", "--dry-run", target],
            cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for script in re.findall(r"\bscripts/\w+", done.stdout):
            assert (REPOSITORY / script).is_file(), script


def packages(*lists: str) -> set[str]:
    """Of these arrays of scripts/packages.bash."""
    arrays = " ".join(f'"${{{name}[@]}}"' for name in lists)
    script = f"source scripts/packages.bash; printf '%s\\n' {arrays}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("target", "lists"),
    [
        ("make demo", ("packages", "venv_packages")),
        ("make test", ("test_packages", "node_packages")),
    ],
)
def test_the_readme_lists_the_debian_packages_of_each_target(
    target: str, lists: tuple[str, ...]
) -> None:
    rows = [
        row.split("|") for row in text_of("README.md").splitlines() if row.startswith("| Debian")
    ]
    listed = {
        name
        for _, what, by, *_ in rows
        if f"`{target}`" in by
        for name in re.findall(r"`([^`]+)`", what)
    }
    assert listed == packages(*lists)


@pytest.mark.parametrize("file", FILES)
def test_contributing_names_every_file_of_pinned_versions(file: str) -> None:
    assert f"| `{file}` |" in text_of("CONTRIBUTING.md")
