"""One version, and its spelling in every ecosystem.

A release has one canonical version: strict SemVer 2.0.0. What a registry sees is derived from it through
`SPELLINGS` and refused where the conversion would lose identity (two versions, one spelling) or order.

The grammar that is safe everywhere::

    X.Y.Z            a final release
    X.Y.Z-alpha.N    then -beta.N, then -rc.N; the dot matters once N has two digits

``-dev.N`` is safe in most places, but PEP 440 sorts it before alpha and SemVer after beta. ``-rcN`` is accepted
while N has one digit: SemVer compares it as text, so ``rc10`` comes before ``rc2``. The two styles do not mix
within one ``X.Y.Z``; `conflicts` finds the versions for which that, or the place of ``dev``, makes a difference.

A version has at most `MAX_LENGTH` characters and no spelling is longer than the version. That keeps inside every
limit: crates.io 150 (crates.io src/config/publish_limits.rs), npm 256 (node-semver internal/constants.js),
image tags 128 (OCI distribution spec.md), winget 128. SemVer's alphabet, ``[0-9A-Za-z.+-]``, is likewise inside
those of Scoop (``^[\\w\\.\\-+_]+$``), winget and, once ``+`` is replaced, image tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import total_ordering
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from semver import Version as SemVer

from releaser.errors import ConfigError, RefusedError

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


_COUNTED: Final = re.compile(r"(alpha|beta|rc|dev)(?:(\.?)(0|[1-9][0-9]*))?")
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
        _require_plain(self.text, "SemVer 2.0.0")
        try:
            parts = SemVer.parse(self.text)
        except ValueError as exc:
            why, hint = _diagnose(self.text)
            raise _invalid(self.text, "SemVer 2.0.0", why, hint) from exc
        if str(parts) != self.text:  # semver hands the parsing to an optional backend where one is installed
            raise _invalid(self.text, "SemVer 2.0.0", f"it reads as {str(parts)!a}", _EXAMPLE)
        object.__setattr__(self, "_parts", parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The version that *text* spells, without any repair; raises ConfigError ``version-invalid``."""
        return cls(text)

    @classmethod
    def from_pep440(cls, text: str) -> Self:
        """The dotted version that `spell` writes as *text* for PEP 440: ``0.17.0a3`` is ``0.17.0-alpha.3``.

        Raises ConfigError ``version-invalid`` for what is not normalised PEP 440 and for what SemVer cannot say:
        epochs, post-releases, local versions, dev releases of pre-releases, other than three release numbers.
        """
        _require_plain(text, "PEP 440")
        try:
            parsed = _python(text)
        except ValueError as exc:
            raise _invalid(text, "PEP 440", "it does not have that form", "write 1.2.3 or 1.2.3rc1") from exc
        version = cls(_near_pep440(parsed))
        if (spelt := _pep440(version)) == text:
            return version
        reasons = {
            "SemVer has no epochs": parsed.epoch,
            "SemVer has no post-releases": parsed.is_postrelease,
            "PyPI refuses local versions": parsed.local,
            "SemVer would sort it after the pre-release, PEP 440 sorts it before": parsed.pre and parsed.is_devrelease,
            f"it has {_numbers(len(parsed.release))} where SemVer has three": len(parsed.release) != 3,
            "it is not normalised": True,
        }
        raise _invalid(text, "PEP 440", next(why for why, holds in reasons.items() if holds), f"write {spelt}")

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
        counted = _COUNTED.fullmatch(self.prerelease)
        return Phase(counted[1]) if counted else Phase.OTHER

    @property
    def number(self) -> int | None:
        """3 of ``-alpha.3`` and ``-alpha3``; None for final releases, bare words and everything else."""
        counted = _COUNTED.fullmatch(self.prerelease)
        return int(counted[3]) if counted and counted[3] else None

    @property
    def dotted(self) -> Self:
        """The same version with its number as an identifier of its own: ``-alpha.3`` for ``-alpha3``.

        Raises ConfigError when the dot is the one character too many.
        """
        if self.number is None:
            return self
        return type(self)(f"{self.core}-{self.phase}.{self.number}" + (f"+{self.build}" if self.build else ""))


class Ecosystem(StrEnum):
    """Where a version is written down, each with rules of its own."""

    SEMVER = "semver"
    PEP440 = "pep440"
    CARGO = "cargo"
    NPM = "npm"
    DOCKER_TAG = "docker-tag"
    NUGET = "nuget"
    CHOCOLATEY = "chocolatey"
    HOMEBREW = "homebrew"
    SCOOP = "scoop"
    WINGET = "winget"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two versions that an ecosystem takes for one (``collision``) or sorts the other way round (``order``)."""

    ecosystem: Ecosystem
    other: Version
    kind: Literal["collision", "order"]
    reason: str


def spell(version: Version, ecosystem: Ecosystem) -> str:
    """*version* as *ecosystem* writes it.

    Pure. Raises RefusedError ``version-not-expressible`` when another version has the same spelling there, or
    when the ecosystem would sort it differently from SemVer; the hint names a version that works.
    """
    return SPELLINGS[ecosystem](version)


def conflicts(version: Version, others: Iterable[Version], ecosystems: Iterable[Ecosystem]) -> tuple[Conflict, ...]:
    """What goes wrong between *version* and each of *others* with the same ``X.Y.Z`` in *ecosystems*.

    Pure. Looks only where both can be spelt: what cannot is `spell`'s to refuse.
    """
    rivals = [other for other in others if other != version and other.core == version.core]
    found = []
    for ecosystem in ecosystems:
        for other in rivals:
            try:
                ours, theirs = spell(version, ecosystem), spell(other, ecosystem)
            except RefusedError:
                continue
            rank = _ORDERS.get(ecosystem, _semver_order)
            low, high = sorted((version, other))
            if ours == theirs or rank(low) == rank(high):
                reason = f"{ecosystem} takes {version} and {other} for the same version"
                found.append(Conflict(ecosystem, other, "collision", reason))
            elif rank(high) < rank(low):
                reason = f"SemVer puts {low} before {high}, {ecosystem} after it"
                found.append(Conflict(ecosystem, other, "order", reason))
    return tuple(found)


# Spellings: one function per ecosystem.


def _semver(version: Version) -> str:
    return str(version)


def _pep440(version: Version) -> str:
    """PEP 440, normalised. PyPI refuses local versions, hence no build metadata."""
    _require_counted(version, Ecosystem.PEP440, _TO_PEP440)
    spelt = version.core if version.number is None else f"{version.core}{_TO_PEP440[version.phase]}{version.number}"
    if (normalised := str(_python(spelt))) != spelt:
        raise _refused(version, Ecosystem.PEP440, normalised, spelt, "Python tools would rewrite it", "1.0.0")
    return spelt


def _cargo(version: Version) -> str:
    """crates.io compares without build metadata (src/controllers/krate/publish.rs); the numbers are u64."""
    return _require_identity(version, Ecosystem.CARGO, 2**64 - 1)


def _npm(version: Version) -> str:
    """node-semver drops build metadata and holds numbers up to MAX_SAFE_INTEGER (classes/semver.js)."""
    return _require_identity(version, Ecosystem.NPM, 2**53 - 1)


def _docker_tag(version: Version) -> str:
    """The plus sign becomes an underscore, which SemVer does not have."""
    return str(version).replace("+", "_")


def _nuget(version: Version) -> str:
    """NuGet ignores case and holds numbers as Int32 (NuGet.Versioning/VersionComparer.cs)."""
    return _require_identity(version, Ecosystem.NUGET, 2**31 - 1, ignores_case=True)


def _chocolatey(version: Version) -> str:
    """Chocolatey 2 compares as NuGet does."""
    return _require_identity(version, Ecosystem.CHOCOLATEY, 2**31 - 1, ignores_case=True)


def _homebrew(version: Version) -> str:
    """Only alpha, beta, pre and rc sort below the release (Library/Homebrew/version.rb)."""
    _require_counted(version, Ecosystem.HOMEBREW, _BELOW_RELEASE)
    return str(version)


def _scoop(version: Version) -> str:
    """Only alpha, beta, rc and pre sort below the release; numbers are Int64 (lib/versions.ps1)."""
    _require_counted(version, Ecosystem.SCOOP, _BELOW_RELEASE)
    return _require_identity(version, Ecosystem.SCOOP, 2**63 - 1)


def _winget(version: Version) -> str:
    """winget folds case and sorts anything after the last number below the release, build metadata too.

    Numbers are 64 bits wide (winget-cli src/AppInstallerSharedLib/Versions.cpp).
    """
    return _require_identity(version, Ecosystem.WINGET, 2**64 - 1, ignores_case=True)


SPELLINGS: Final[Mapping[Ecosystem, Callable[[Version], str]]] = {
    Ecosystem.SEMVER: _semver,
    Ecosystem.PEP440: _pep440,
    Ecosystem.CARGO: _cargo,
    Ecosystem.NPM: _npm,
    Ecosystem.DOCKER_TAG: _docker_tag,
    Ecosystem.NUGET: _nuget,
    Ecosystem.CHOCOLATEY: _chocolatey,
    Ecosystem.HOMEBREW: _homebrew,
    Ecosystem.SCOOP: _scoop,
    Ecosystem.WINGET: _winget,
}

_TO_PEP440: Final = {Phase.ALPHA: "a", Phase.BETA: "b", Phase.RC: "rc", Phase.DEV: ".dev"}
_FROM_PEP440: Final = {"a": Phase.ALPHA, "b": Phase.BETA, "rc": Phase.RC}
_BELOW_RELEASE: Final = (Phase.ALPHA, Phase.BETA, Phase.RC)
_MEANT: Final = {
    "alpha": Phase.ALPHA,
    "a": Phase.ALPHA,
    "beta": Phase.BETA,
    "b": Phase.BETA,
    "rc": Phase.RC,
    "c": Phase.RC,
    "pre": Phase.RC,
    "preview": Phase.RC,
    "dev": Phase.DEV,
    "": Phase.RC,
}
"""What the first word of a pre-release stands for, by PEP 440's aliases; none is needed for ``-1``."""


# Orders of the ecosystems that do not compare as SemVer does, among spellable versions of one X.Y.Z.


def _semver_order(version: Version) -> Version:
    return version


def _pep440_order(version: Version) -> PyVersion:
    return _python(_pep440(version))


def _homebrew_order(version: Version) -> tuple[int, int, int]:
    """``rc2`` is one token with a revision, ``rc.2`` a token and a number; a missing number equals 0."""
    if version.number is None:
        return (len(_BELOW_RELEASE), 0, 0)
    rank = _BELOW_RELEASE.index(version.phase)
    return (rank, 0, version.number) if version == version.dotted else (rank, version.number, 0)


def _scoop_order(version: Version) -> tuple[int, int]:
    """``rc2`` is split into ``rc.2`` before comparing."""
    return (len(_BELOW_RELEASE), 0) if version.number is None else (_BELOW_RELEASE.index(version.phase), version.number)


def _winget_order(version: Version) -> list[tuple[int, bool, str]]:
    """Each dotted part is a number (as strtoull reads it) and a rest, no rest being highest; missing parts are 0."""
    parts = []
    for part in str(version).split("."):
        number = re.match(r"-?[0-9]+", part)
        if number and abs(int(number[0])) < 2**64:
            rest = part[number.end() :]
            parts.append((int(number[0]) % 2**64, not rest, rest))
        else:
            parts.append((0, False, part))
    return parts + [(0, True, "")] * (MAX_LENGTH - len(parts))


_ORDERS: Final[Mapping[Ecosystem, Callable[[Version], Any]]] = {
    Ecosystem.PEP440: _pep440_order,
    Ecosystem.HOMEBREW: _homebrew_order,
    Ecosystem.SCOOP: _scoop_order,
    Ecosystem.WINGET: _winget_order,
}


# Refusals.


def _refused(version: Version, ecosystem: Ecosystem, found: str, wanted: str, why: str, works: str) -> RefusedError:
    return RefusedError(
        "version-not-expressible",
        f"{version} cannot be released as {ecosystem}: {why}",
        object=f"{version} as {ecosystem}",
        found=found,
        wanted=wanted,
        hint=f"release {works}",
    )


def _require_identity(version: Version, ecosystem: Ecosystem, largest: int, *, ignores_case: bool = False) -> str:
    """*version* unchanged; refuses build metadata, numbers above *largest* and, if asked, upper-case letters."""
    bare = f"{version.core}-{version.prerelease}" if version.is_prerelease else version.core
    for number in (*version.core.split("."), *version.prerelease.split(".")):
        if number.isdigit() and int(number) > largest:
            why, works = f"{number} is more than its numbers hold", "one with smaller numbers, such as 1.0.0"
            raise _refused(version, ecosystem, number, f"at most {largest}", why, works)
    if version.build:
        why = f"{ecosystem} does not tell versions apart, or in order, by build metadata"
        works = bare.lower() if ignores_case else bare
        raise _refused(version, ecosystem, f"+{version.build}", "no build metadata", why, works)
    if ignores_case and bare != bare.lower():
        why = f"{ecosystem} ignores case, so {bare.lower()} would be the same version"
        raise _refused(version, ecosystem, f"-{version.prerelease}", "lower case", why, bare.lower())
    return bare


def _require_counted(version: Version, ecosystem: Ecosystem, phases: Collection[Phase]) -> None:
    """Refuse what is neither final nor one of *phases* with a number that sorts as a number."""
    counted = _COUNTED.fullmatch(version.prerelease)
    if version.build:
        found, why = f"+{version.build}", f"build metadata makes it another version to {ecosystem}"
    elif not version.is_prerelease or (
        counted and version.phase in phases and counted[3] and (counted[2] or len(counted[3]) == 1)
    ):
        return
    else:
        found, why = f"-{version.prerelease}", _objection(version, ecosystem)
    wanted = "X.Y.Z, or X.Y.Z- and one of " + ", ".join(f"{phase}.N" for phase in phases)
    raise _refused(version, ecosystem, found, wanted, why, _nearest(version, phases))


def _objection(version: Version, ecosystem: Ecosystem) -> str:
    """Why the pre-release of *version*, which `_require_counted` does not let through, is a trap."""
    text = version.prerelease
    if version.number is not None and (ecosystem is Ecosystem.PEP440 or version.phase in _BELOW_RELEASE):
        return f"without the dot SemVer compares -{text} as text, {ecosystem} as a number"
    if ecosystem is not Ecosystem.PEP440:
        return f"{ecosystem} knows alpha, beta and rc with one number; anything else may sort above the release"
    if version.phase is not Phase.OTHER:
        return f"-{text} has no number, and PEP 440 takes it for -{text}.0"
    if re.fullmatch(r"[0-9]+|(?:post|rev|r)[.-]?[0-9]*", text, re.IGNORECASE):
        return f"PEP 440 reads -{text} as a post-release, which comes after {version.core}"
    if re.fullmatch(r"(?:alpha|a|beta|b|rc|c|preview|pre|dev)[.-]?[0-9]*", text, re.IGNORECASE):
        return f"PEP 440 takes it for {_nearest(version, _TO_PEP440)} in another spelling"
    if re.fullmatch(r"(?:alpha|beta|rc)[.-]?[0-9]*[.-]dev[.-]?[0-9]*", text):
        return "PEP 440 sorts a dev release of a pre-release before it, SemVer after"
    if text.split(".")[0] in _TO_PEP440:
        return "PEP 440 has one number after the phase and nothing else"
    return f"PEP 440 has no -{text}"


def _nearest(version: Version, phases: Collection[Phase]) -> str:
    """A version of the safe grammar close to what *version* seems to mean."""
    if not version.is_prerelease:
        return version.core
    word = re.split(r"[^a-z]", version.prerelease.lower(), maxsplit=1)[0]
    if word in ("post", "rev", "r"):
        return f"{version.major}.{version.minor}.{version.patch + 1}"
    phase = _MEANT.get(word, Phase.DEV)
    number = re.search(r"[0-9]+", version.prerelease)
    return f"{version.core}-{phase if phase in phases else Phase.ALPHA}.{int(number[0]) if number else 1}"


_EXAMPLE: Final = "write 1.2.3 or 1.2.3-rc.1"


def _invalid(text: str, grammar: str, why: str, hint: str) -> ConfigError:
    shown = ascii(text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}...")
    message = f"{shown} is not a usable {grammar} version: {why}"
    return ConfigError("version-invalid", message, object="version", found=shown, wanted=grammar, hint=hint)


def _require_plain(text: str, grammar: str) -> None:
    """Refuse what no reader should meet: other alphabets (``\\d`` matches their digits too) and endless text."""
    if len(text) > MAX_LENGTH:
        why = f"it has {len(text)} characters and may have {MAX_LENGTH}"
        raise _invalid(text, grammar, why, "shorten the pre-release or build part")
    if not text.isascii():
        strange = next(c for c in text if not c.isascii())
        why = f"{strange!a} is not an ASCII character, whatever it looks like"
        raise _invalid(text, grammar, why, "type the version again with ASCII digits and letters")


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
