"""What can go wrong, and the exit status of each."""

from __future__ import annotations


class Trouble(Exception):
    """Something went wrong; its text is the one message that the user sees."""

    exit_status = 1


class Incomplete(Trouble):
    """Something is not as it should be after a change."""


class BadInput(Trouble):
    """Bad usage, or a source that answered with what is no layout. Nothing was changed."""

    exit_status = 2


class Refused(Trouble):
    """What is asked for would harm the guest, or does not hold."""

    exit_status = 3


class NotFound(Trouble):
    """What was named is not there: a file, a subset of the pool, a source."""

    exit_status = 4


class Unreachable(NotFound):
    """No source answered: a server that is not there, no config drive, no such file."""


class Unavailable(Unreachable):
    """A source is there but cannot answer now, so no other may speak in its place."""
