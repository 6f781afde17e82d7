"""Write the frozen documents of what is new, and say which have changed.

    .venv/bin/python -m tests.golden.renew            # writes those that are missing
    .venv/bin/python -m tests.golden.renew NAME...    # overwrites these as well, or removes them

What has been published is frozen: guests rely on it. A change is therefore only listed, and the
exit status is 1, unless its file is named. Name one where the change is meant, and say in
CHANGELOG.md what guests will notice. A new field belongs into a new version.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.golden.documents import FROZEN, frozen


def changes(wanted: Mapping[str, str], folder: Path = FROZEN) -> dict[str, str]:
    """The files that are not as wanted, each with what it is: new, changed or left over."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    found = dict.fromkeys(there - wanted.keys(), "left over")
    for name, text in wanted.items():
        if name not in there:
            found[name] = "new"
        elif (folder / name).read_text() != text:
            found[name] = "changed"
    return dict(sorted(found.items()))


def renew(named: Collection[str], wanted: Mapping[str, str], folder: Path = FROZEN) -> list[str]:
    """Write what is new or named; returns a line for each file that is still not as wanted."""
    refused = []
    for name, what in changes(wanted, folder).items():
        if what != "new" and name not in named:
            refused.append(f"{name}: {what}; give this name to overwrite or remove the file")
        elif name in wanted:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return refused


if __name__ == "__main__":
    left = renew(sys.argv[1:], frozen())
    sys.exit("\n".join(left) or None)
