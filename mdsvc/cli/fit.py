"""``mdsvc fit``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.terminal.console import (
    INPUT,
    examples,
    json_option,
    open_input,
    read,
    show,
    strict_option,
    unknown_keys,
)


@click.command(
    epilog=examples(
        """echo '{"host": {…}, "flavor": {…}}' | mdsvc fit""",
        "mdsvc fit questions.jsonl | jq -c 'select(.fits | not) | .message'",
        "mdsvc fit questions.jsonl --explain",
        "mdsvc host list --json > hosts.json; mdsvc fit flavors.jsonl --hosts hosts.json",
        "mdsvc fit questions.jsonl --placement",
    )
)
@click.argument("file", type=INPUT, default="-")
@click.option("--explain", is_flag=True, help="Answer in words, for people.")
@click.option("--hosts", type=INPUT, metavar="HOSTS", help="Choose among these, a JSON list.")
@click.option("--placement", is_flag=True, help="What it is to OpenStack's Placement.")
@strict_option
@json_option
def command(file: Path, explain: bool, hosts: Path | None, placement: bool) -> None:
    """Answer what-if questions: JSON lines in, one JSON line out for each. Touches no store.

    A question is {"host": HOST, "flavor": FLAVOR, "image": IMAGE}. The image may be left out; with
    --hosts there is no host in it, and with --placement there may be none. These two answer in
    words unless --json is given. Keys that nobody knows are in an answer's warnings. The exit code
    is 0 whatever the answers are.
    """
    from mdsvc.forms import from_json
    from mdsvc.placing import what_if
    from mdsvc.topology import Host

    if hosts and placement:
        raise click.UsageError("expected one of --hosts and --placement, not both")
    on_unknown = unknown_keys()
    ask: Callable[..., what_if.Answer] = what_if.answer
    if hosts:
        ask = partial(what_if.choice_answer, hosts=from_json(read(hosts), list[Host]))
    elif placement:
        ask = what_if.placement_answer
    in_words = explain or hosts or placement
    with open_input(file) as lines:
        for line in lines:
            answer = ask(line, unknown_keys=on_unknown)
            show(answer, *([terminal.answers.in_words(answer)] if in_words else []))
