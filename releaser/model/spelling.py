"""A version's spelling in every ecosystem, refused where it would lose identity (two versions, one spelling) or order.

`SPELLINGS` is the whole list: adding an ecosystem is one function and one row, and one more row in `_ORDERS` where
it does not compare as SemVer does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from releaser.errors import RefusedError
from releaser.model.version import COUNTED, MAX_LENGTH, Phase, Version

if TYPE_CHECKING:
    from packaging.version import Version as PyVersion


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


@lru_cache(maxsize=256)  # the gates ask for the same few again before every step
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
    counted = COUNTED.fullmatch(version.prerelease)
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


def _python(text: str) -> PyVersion:
    """*text* as Python tools read it. Lenient, so only ever given what our own grammar made."""
    from packaging.version import Version as PyVersion

    return PyVersion(text)
