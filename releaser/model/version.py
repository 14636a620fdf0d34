"""One version: strict SemVer 2.0.0, and no other text. What registries see is derived from it (`model.spelling`).

The grammar that is safe everywhere::

    X.Y.Z            a final release
    X.Y.Z-alpha.N    then -beta.N, then -rc.N; the dot matters once N has two digits

``-dev.N`` is safe in most places, but PEP 440 sorts it before alpha and SemVer after beta. ``-rcN`` is accepted
while N has one digit: SemVer compares it as text, so ``rc10`` comes before ``rc2``. The two styles do not mix
within one ``X.Y.Z``; `spelling.conflicts` finds the versions for which that, or the place of ``dev``, matters.

A version has at most `MAX_LENGTH` characters and no spelling is longer than the version. That keeps inside every
limit: crates.io 150 (crates.io src/config/publish_limits.rs), npm 256 (node-semver internal/constants.js),
image tags 128 (OCI distribution spec.md), winget 128. SemVer's alphabet, ``[0-9A-Za-z.+-]``, is likewise inside
those of Scoop (``^[\\w\\.\\-+_]+$``), winget and, once ``+`` is replaced, image tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, total_ordering
from typing import TYPE_CHECKING, Final, Self

from semver import Version as SemVer

from releaser.errors import ConfigError

if TYPE_CHECKING:
    from packaging.version import Version as PyVersion

MAX_LENGTH: Final = 64
"""Characters in a version."""


class Phase(StrEnum):
    """How finished a version says it is. OTHER is every pre-release outside the safe grammar."""

    FINAL = "final"
    ALPHA = "alpha"
    BETA = "beta"
    RC = "rc"
    DEV = "dev"
    OTHER = "other"


COUNTED: Final = re.compile(r"(alpha|beta|rc|dev)(?:(\.?)(0|[1-9][0-9]*))?")
"""The pre-releases of the safe grammar, and besides them the bare word."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A valid SemVer 2.0.0 version; making one from other text raises ConfigError ``version-invalid``.

    Versions sort by SemVer precedence. Those that differ in build metadata alone, which SemVer leaves unordered,
    are different versions and sort by that text.
    """

    text: str
    _parts: SemVer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_plain(self.text)
        try:
            parts = SemVer.parse(self.text)
        except ValueError as exc:
            why, hint = _diagnose(self.text)
            raise _invalid(self.text, why, hint) from exc
        if str(parts) != self.text:  # semver hands the parsing to an optional backend where one is installed
            raise _invalid(self.text, f"it reads as {str(parts)!a}", _EXAMPLE)
        object.__setattr__(self, "_parts", parts)

    @staticmethod
    def parse(text: str) -> Version:
        """The version that *text* spells, without any repair; raises ConfigError ``version-invalid``."""
        return _parsed(text)

    def __str__(self) -> str:
        return self.text

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        precedence = self._parts.compare(other._parts)
        return precedence < 0 if precedence else self.build < other.build

    @property
    def major(self) -> int:
        return self._parts.major

    @property
    def minor(self) -> int:
        return self._parts.minor

    @property
    def patch(self) -> int:
        return self._parts.patch

    @property
    def prerelease(self) -> str:
        """What follows the hyphen; empty for a final release."""
        return self._parts.prerelease or ""

    @property
    def build(self) -> str:
        """What follows the plus sign; empty without one."""
        return self._parts.build or ""

    @property
    def core(self) -> str:
        """``1.2.3`` of ``1.2.3-rc.1+build``."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def is_prerelease(self) -> bool:
        return bool(self.prerelease)

    @property
    def phase(self) -> Phase:
        if not self.is_prerelease:
            return Phase.FINAL
        counted = COUNTED.fullmatch(self.prerelease)
        return Phase(counted[1]) if counted else Phase.OTHER

    @property
    def number(self) -> int | None:
        """3 of ``-alpha.3`` and ``-alpha3``; None for final releases, bare words and everything else."""
        counted = COUNTED.fullmatch(self.prerelease)
        return int(counted[3]) if counted and counted[3] else None

    @property
    def dotted(self) -> Self:
        """The same version with its number as an identifier of its own: ``-alpha.3`` for ``-alpha3``.

        Raises ConfigError when the dot is the one character too many.
        """
        if self.number is None:
            return self
        return type(self)(f"{self.core}-{self.phase}.{self.number}" + (f"+{self.build}" if self.build else ""))


@lru_cache(maxsize=256)  # the same few are read again before every step
def _parsed(text: str) -> Version:
    return Version(text)


_FROM_PEP440: Final = {"a": Phase.ALPHA, "b": Phase.BETA, "rc": Phase.RC}
_EXAMPLE: Final = "write 1.2.3 or 1.2.3-rc.1"


def _invalid(text: str, why: str, hint: str) -> ConfigError:
    shown = ascii(text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}...")
    message = f"{shown} is not a usable SemVer 2.0.0 version: {why}"
    return ConfigError("version-invalid", message, object="version", found=shown, wanted="SemVer 2.0.0", hint=hint)


def _require_plain(text: str) -> None:
    """Refuse what no reader should meet: other alphabets (``\\d`` matches their digits too) and endless text."""
    if len(text) > MAX_LENGTH:
        why = f"it has {len(text)} characters and may have {MAX_LENGTH}"
        raise _invalid(text, why, "shorten the pre-release or build part")
    if not text.isascii():
        strange = next(c for c in text if not c.isascii())
        why = f"{strange!a} is not an ASCII character, whatever it looks like"
        raise _invalid(text, why, "type the version again with ASCII digits and letters")


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def _write(text: str) -> str:
    """The hint to write *text*, or what *text* in its turn should be."""
    try:
        return f"write {Version(text)}"
    except ConfigError as exc:
        return exc.hint


def _diagnose(text: str) -> tuple[str, str]:
    """Why *text* (short, ASCII) is not SemVer, and what to write instead."""
    if not text:
        return "it is empty", _EXAMPLE
    if text != text.strip():
        return "it has white space around it", _write(text.strip())
    if re.match(r"[vV][0-9]", text):
        return "the v belongs to the tag, not to the version", _write(text[1:])
    core = re.split(r"[-+]", text, maxsplit=1)[0]
    if not re.fullmatch(r"[0-9.]*", core):
        return _diagnose_pep440(text)

    tail = text[len(core) :]
    numbers = core.split(".")
    if "" in numbers:
        return "a number is missing in MAJOR.MINOR.PATCH", _EXAMPLE
    three = ".".join(str(int(number)) for number in (*numbers, "0", "0")[:3])
    if len(numbers) != 3:
        return f"it has {_numbers(len(numbers))} where SemVer has three", _write(three + tail)
    if core != three:
        return "a number has a leading zero", _write(three + tail)

    before, plus, build = tail.partition("+")
    if strange := re.search(r"[^0-9A-Za-z.-]", before + build):
        return f"{strange[0]!a} cannot stand there", "after the numbers, use letters, digits, hyphens and dots"
    identifiers = before[1:].split(".") if before else []
    if "" in identifiers or (plus and "" in build.split(".")):
        return "an identifier is empty", "write something between the signs, or drop the last one"
    fixed = ".".join(str(int(identifier)) if identifier.isdigit() else identifier for identifier in identifiers)
    return "a number in the pre-release has a leading zero", _write(f"{core}-{fixed}{plus}{build}")


def _diagnose_pep440(text: str) -> tuple[str, str]:
    """The same for text that does not begin with numbers and dots alone, as PEP 440 pre-releases do not."""
    try:
        parsed = _python(text)
    except ValueError:
        return "it is not of the form MAJOR.MINOR.PATCH-PRERELEASE", _EXAMPLE
    return "it is spelt as in PEP 440", _write(_near_pep440(parsed))


def _python(text: str) -> PyVersion:
    """*text* as Python tools read it; raises ValueError. Lenient: never the judge of what a SemVer text means."""
    from packaging.version import Version as PyVersion

    return PyVersion(text)


def _near_pep440(parsed: PyVersion) -> str:
    """The SemVer text that equals *parsed*, or comes close where SemVer lacks the means."""
    major, minor, patch = (*parsed.release, 0, 0)[:3]
    if parsed.pre:
        letter, number = parsed.pre
        return f"{major}.{minor}.{patch}-{_FROM_PEP440[letter]}.{number}"
    if parsed.post is not None:
        return f"{major}.{minor}.{patch + 1}"
    return f"{major}.{minor}.{patch}" if parsed.dev is None else f"{major}.{minor}.{patch}-{Phase.DEV}.{parsed.dev}"
