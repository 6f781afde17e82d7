"""Another process that uses the command: ``python -m tests.crash.creator MDSVC_ARGS < FORMS``.

Reads one form a line from stdin and gives each to the command; prints the exit codes. With
``churn`` it removes each guest that it has placed and places it again.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.cli.command import Mdsvc

CREATE = ("instance", "create", "-")


def main(url: str, churn: str) -> None:
    forms = [json.loads(line) for line in sys.stdin]  # until its end: so that all start together
    with pytest.MonkeyPatch.context() as patch:
        mdsvc = Mdsvc(patch, url)
        codes = []
        for form in forms:
            codes.append(mdsvc(*CREATE, stdin=form).code)
            if churn == "churn" and codes[-1] == 0:
                codes.append(mdsvc("instance", "delete", form["uuid"]).code)
                codes.append(mdsvc(*CREATE, stdin=form).code)
    print(json.dumps(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
