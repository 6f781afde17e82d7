"""Prints, for a shell, where this machine says that pip finds packages, from `pip config list`.

Only that holds for scripts/setup. All else that a machine can tell pip (constraints, --user,
--pre, what to build from source) would change what is installed, or where.
"""

import ast
import shlex
import sys

SOURCES = (
    *("index-url", "extra-index-url", "find-links", "no-index"),
    *("trusted-host", "cert", "client-cert", "proxy", "keyring-provider"),
    *("timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir"),
)
SECTIONS = ("global", "install", ":env:")  # a later one wins


def main() -> None:
    settings = {}
    for line in sys.stdin:
        name, separator, value = line.strip().partition("=")
        section, _, option = name.partition(".")
        if separator and section in SECTIONS and option in SOURCES:
            settings[SECTIONS.index(section), option] = ast.literal_eval(value)
    for (_, option), value in sorted(settings.items()):
        words = shlex.quote(" ".join(value.split()))
        print(f"export PIP_{option.upper().replace('-', '_')}={words}")


if __name__ == "__main__":
    main()
