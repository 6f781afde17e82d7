"""The command line: arguments in, one use case, text or JSON out."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from mdguest import __version__
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput, Incomplete, Refused, Trouble
from mdguest.help import COMMANDS, DESCRIPTION, EPILOG

if TYPE_CHECKING:
    from mdguest.control import View
    from mdguest.settings import Settings
    from mdguest.system import System

Parsed = argparse.Namespace


def _emit(arguments: Parsed, document: Any, text: str) -> None:
    print(json.dumps(document, indent=2) if arguments.json else text)


def _say(message: str) -> None:
    print(f"mdguest: {message}", file=sys.stderr, flush=True)


def _plan(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import control, text
    from mdguest.status import guest, plan_document, problems

    found = control.layout(system, settings)
    if found.dedicated is None:
        return _nothing_said(arguments, found.source)
    seen = control.view(system, found.dedicated, settings)
    document = {
        "guest": guest(seen.facts, seen.plan),
        **plan_document(seen.plan, found),
        "problems": problems(seen.for_others),
    }
    _emit(arguments, document, text.plan_text(document, seen.plan))
    return 0


def _nothing_said(arguments: Parsed, source: str) -> int:
    document: dict[str, Any] = {"mode": None, "source": source, "steps": []}
    _emit(arguments, document, f"{source} says nothing of dedicated CPUs: nothing to do.")
    return 0


def _apply(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import control
    from mdguest.status import plan_document, problems

    found = (
        control.early_layout(system) if arguments.last_good else control.layout(system, settings)
    )
    if found is None:
        _emit(arguments, {"mode": None, "source": None}, "no layout is known yet: nothing to do")
        return 0
    if found.dedicated is None:
        return _nothing_said(arguments, found.source)
    if found.stale:
        _say(f"{found.stale}; the last good layout stays in force")
    say = _say if arguments.verbose else _silent
    try:
        outcome = control.apply_layout(system, found, settings, say, careful=arguments.careful)
    except Incomplete:
        _warn(control.now(system, settings))
        raise
    made = outcome.plan
    seen = control.now(system, settings)
    _warn(seen)
    changed = f"{len(outcome.done)} changes" if outcome.done else "nothing had to change"
    what = f"CPU {made.dedicated} isolated" if made.mode else "no CPU is isolated"
    notes = "".join(f"\nnote: {note}" for note in made.notes)
    document = {
        **plan_document(made, found),
        "problems": problems(seen.for_others),
        "changed": len(outcome.done),
    }
    mode = f"mode {made.mode}, " if made.mode else f"{made.because}, "
    _emit(arguments, document, f"{what} ({mode}{changed}){notes}")
    return 0


def _warn(seen: View) -> None:
    from mdguest import control

    for line in control.warnings(seen):
        _say(f"warning: {line}")


def _silent(_: str) -> None:
    pass


def _verify(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import control, text
    from mdguest.status import status

    if not system.is_root():
        raise Trouble("verify: only root sees all that it looks at; run as root")
    seen = control.now(system, settings, anew=_anew(arguments))
    document = status(seen)
    lines = text.problem_lines(document) + text.displaced_lines(document)
    _emit(arguments, document, "\n".join(lines) if lines else text.verdict(seen))
    return Refused.exit_status if lines else 0


def _look(system: System, settings: Settings, arguments: Parsed) -> View:
    """The guest as it is and should be, whatever is wrong with it."""
    from mdguest import control
    from mdguest.isolation import state

    settings = control.applied(settings, state.load(system))
    try:
        asked = control.wanted(system, settings, anew=_anew(arguments))
    except Trouble as trouble:
        _say(f"no layout: {trouble}")
        asked = EMPTY
    return control.look(system, asked, settings)


def _anew(arguments: Parsed) -> bool:
    """Whether a source was named, to be read now."""
    return bool(getattr(arguments, "source", None))


def _status(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import text
    from mdguest.status import prometheus, status

    seen = _look(system, settings, arguments)
    if arguments.prometheus == "-":
        print(prometheus(seen), end="")
    elif arguments.prometheus:
        system.export(arguments.prometheus, prometheus(seen))
    else:
        document = status(seen)
        _emit(arguments, document, text.status_text(document))
    return 0


def _undo(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import control
    from mdguest.status import plan_document

    outcome = control.undo(system, settings, _say if arguments.verbose else _silent)
    notes = "".join(f"\nnote: {note}" for note in outcome.plan.notes)
    changed = f"{len(outcome.done)} settings put back" if outcome.done else "nothing to put back"
    document = {**plan_document(outcome.plan, None), "changed": len(outcome.done)}
    _emit(arguments, document, f"{changed}{notes}")
    return 0


def _watch(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest.watch import Watch

    Watch(system, settings, _say).run()
    return 0


def _run(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest.pool.run import run
    from mdguest.pool.subsets import Wanted

    command = arguments.command_line
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise BadInput("run: expected a command, as in: mdguest run --cpus 2 -- CMD {cpus}")
    wanted = Wanted(arguments.cpus, arguments.on)
    run(system, command, wanted, arguments.name, arguments.balance)


def _render(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import control
    from mdguest.isolation import state
    from mdguest.render import named, render

    renderer = named(arguments.what)
    if arguments.base is not None and arguments.what != "tuned":
        raise BadInput(f"--base: it is for tuned, and not for {arguments.what}")
    settings = control.applied(settings, state.load(system))
    cpus = control.split(system, settings, anew=_anew(arguments), base=arguments.base)
    text = render(arguments.what, cpus)
    for warning in renderer.warn(cpus):
        _say(f"warning: {warning}")
    _emit(arguments, {"name": arguments.what, "text": text}, text.rstrip("\n"))
    return 0


def _doctor(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import text
    from mdguest.doctor import abilities
    from mdguest.status import displaced, exempt, problems

    seen = _look(system, settings, arguments)
    found = abilities(system, seen.facts, seen.asked)
    marks = {True: "yes", False: "no", None: "?"}
    rows = [(marks[ability.able], ability.name, ability.says) for ability in found]
    document = {
        "abilities": [ability._asdict() for ability in found],
        "refused": seen.refused,
        "exempt": exempt(seen.plan),
        "displaced": displaced(seen.plan),
        "problems": problems(seen.for_others),
        "notes": list(seen.plan.notes),
        "reboot": list(seen.plan.reboot),
    }
    _emit(arguments, document, text.doctor_text(rows, document))
    return 0


def _measure(system: System, settings: Settings, arguments: Parsed) -> int:
    from mdguest import measure
    from mdguest.pool.probing import placer

    cpus, seconds = _cpus(arguments.cpus), _seconds(arguments.seconds)
    seen = _look(system, settings, arguments)
    online = seen.facts.online
    if cpus and not cpus & online:
        raise BadInput(f"--cpus {cpus}: none of them is online; expected some of CPU {online}")
    wanted = measure.Wanted(
        cpus or online,
        seen.asked & online,
        seconds,
        arguments.probing,
        not arguments.no_tools,
    )
    before = measure.load(system, arguments.compare) if arguments.compare else None
    if arguments.save:
        measure.check_writable(arguments.save)
    with placer(system, seen.facts) as place, measure.Narrator(sys.stderr) as progress:
        report = measure.measure(system, wanted, place=place, progress=progress)
    look = measure.Look.of(sys.stdout, os.environ)
    if before is not None:
        document = measure.comparison_as_json(before, report)
        text = measure.comparison_as_table(before, report, look)
    else:
        document, text = measure.as_json(report), measure.as_table(report, look)
    _emit(arguments, document, text.rstrip("\n"))
    if arguments.save:
        measure.save(system, arguments.save, report)
    return 0


def _cpus(text: str | None) -> CpuSet:
    try:
        return CpuSet.parse(text or "")
    except ValueError as error:
        raise BadInput(f"--cpus: {error}") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 3600:
        raise BadInput(f"--seconds {text}: expected 0.1 to 3600")
    return seconds


ACTIONS: dict[str, Callable[[Any, Any, Parsed], int]] = {
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
    "undo": _undo,
    "status": _status,
    "watch": _watch,
    "run": _run,
    "render": _render,
    "measure": _measure,
    "doctor": _doctor,
}


class _Parser(argparse.ArgumentParser):
    """argparse, whose errors are like all of ours: one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(BadInput.exit_status)


@cache
def parser() -> argparse.ArgumentParser:
    """Made once: whoever runs many commands, as a test does, has one for all of them."""
    top = _Parser(
        prog="mdguest",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mdguest {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.about,
            epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for flags, options in command.options:
            sub.add_argument(*flags, **options)
    return top


_OF_ALL = ("-h", "--help", "--version")
"""Options that need no command; all others are those of plan, where none is named."""

_WITHOUT_SETTINGS = ("undo", "run")
"""Commands that no wrong setting may keep from their work."""


def _settings(system: System, parsed: Parsed) -> Settings:
    from mdguest import settings, sources

    try:
        found = settings.load(system, os.environ, vars(parsed))
        sources.check(found.source, found.where["source"])
    except BadInput as trouble:
        if parsed.command not in _WITHOUT_SETTINGS:
            raise
        _say(f"{trouble}; not needed now")
        return settings.Settings()
    return found


_WITH_VALUE = {
    name
    for command in COMMANDS.values()
    for names, options in command.options
    for name in names
    if "metavar" in options and "nargs" not in options
}


def _command_first(given: list[str]) -> list[str]:
    """``--json plan`` is ``plan --json``, and no command at all is ``plan``."""
    if given and (given[0] in _OF_ALL or not given[0].startswith("-")):
        return given
    at = 0
    while at < len(given) and given[at].startswith("-"):
        at += 2 if given[at] in _WITH_VALUE else 1
    if at < len(given) and given[at] in COMMANDS:
        return [given[at], *given[:at], *given[at + 1 :]]
    return ["plan", *given]


def main(arguments: Sequence[str] | None = None, system: System | None = None) -> int:
    """Run one command, in this guest if no other is given; return its exit status."""
    if system is None:
        from mdguest.system import System

        system = System()
    if isinstance(sys.stdout, io.TextIOWrapper):  # arrows, and names that others chose
        sys.stdout.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser().parse_args(_command_first(given))
    try:
        status = ACTIONS[parsed.command](system, _settings(system, parsed), parsed)
        sys.stdout.flush()
        return status
    except Trouble as trouble:
        _say(str(trouble))
        return trouble.exit_status
    except PermissionError as error:
        _say(f"{error.filename or 'this'}: permission denied; run as root")
        return 1
    except BrokenPipeError:  # whoever read has seen enough; Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
