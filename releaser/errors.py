"""The error tree.

A policy "no" is a verdict, never an exception. Exceptions mean that the work could not be done. Every error
carries a stable kebab-case ``code`` with a heading in ``docs/errors.md``, what was found and what was wanted
where that can be said, and a ``hint``: the next command to type.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Process exit codes, the same for every command."""

    DONE = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    WAITING = 4
    OUTSIDE = 5
    CONFLICT = 6


class ReleaserError(Exception):
    """Something that a person has to read: code, sentence, evidence and next step.

    ``object`` is what the error is about (a file, a tag, a package at a registry), ``found`` and ``wanted``
    the two sides of a comparison, ``hint`` the next command or edit. None of them may hold a secret.
    """

    exit: Exit = Exit.BUG

    def __init__(
        self,
        code: str,
        message: str,
        *,
        object: str = "",
        found: str = "",
        wanted: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.object = object
        self.found = found
        self.wanted = wanted
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ConfigError(ReleaserError):
    """The command line, the policy file, the repository or a file of ours cannot be used as it is."""

    exit = Exit.USAGE


class RefusedError(ReleaserError):
    """A rule forbids what was asked; nothing was changed."""

    exit = Exit.REFUSED


class WaitingError(ReleaserError):
    """Not yet: an approval, an index or a person is still to come; nothing was changed."""

    exit = Exit.WAITING


class ExternalError(ReleaserError):
    """Something outside failed. ``retryable`` says that the same call may succeed later."""

    exit = Exit.OUTSIDE

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = True,
        object: str = "",
        found: str = "",
        wanted: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(code, message, object=object, found=found, wanted=wanted, hint=hint)
        self.retryable = retryable


class ConflictError(ReleaserError):
    """Other bytes than ours are out there under our name; never retried, never overwritten."""

    exit = Exit.CONFLICT
