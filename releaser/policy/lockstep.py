"""Gate ``lockstep``: every file that states the version states this one."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.errors import ReleaserError
from releaser.model.facts import Unobserved, VersionEntry
from releaser.model.plan import GateRow
from releaser.model.spelling import Ecosystem, spell
from releaser.model.version import Version
from releaser.policy.case import Case, Row


def lockstep(case: Case) -> Iterator[GateRow]:
    """Let through a tree whose manifests and lockfile self-entries all equal the tag's version."""
    if case.version is None or case.facts.source is None:
        yield Row("lockstep", case.shown).skip("the tag gate comes first")
        return
    if isinstance(case.facts.source.versions, Unobserved):
        yield Row("lockstep", case.shown).missing(case.facts.source.versions)
        return
    if not case.facts.source.versions and (path := case.policy.version.source):
        yield Row("lockstep", path).fail(
            "the source of the version states none",
            found="no version",
            wanted=str(case.version),
            hint=f"state the version in {path}, or take it out of [version] in the policy",
        )
    elif not case.facts.source.versions:
        yield Row("lockstep", case.shown).skip("no version file is named, or there is none of its pattern")
    for entry in case.facts.source.versions:
        yield _entry(entry, case.version)


def _entry(entry: VersionEntry, version: Version) -> GateRow:
    row = Row("lockstep", entry.object)
    try:
        wanted = spell(version, entry.ecosystem)
    except ReleaserError as error:
        return row.fail(error.message, found=error.found, wanted=error.wanted, hint=error.hint)
    hint = entry.fix.replace("{wanted}", wanted)
    if entry.problem:
        return row.fail(entry.problem, found=entry.problem, wanted=wanted, hint=hint)
    if entry.found is None:
        return row.passed(f"{entry.dynamic}: the built artifacts are held to {wanted} instead")
    if _equal(entry.found, wanted, entry.ecosystem):
        return row.passed(entry.found)
    return row.fail("another version than the tag's", found=entry.found, wanted=wanted, hint=hint)


def _equal(found: str, wanted: str, ecosystem: Ecosystem) -> bool:
    """Whether *found* is *wanted*; Python's tools normalise what they read, but ``1.0`` stays ``1.0`` (T3)."""
    if ecosystem is not Ecosystem.PEP440:
        return found == wanted
    from packaging.version import InvalidVersion
    from packaging.version import Version as PythonVersion

    try:
        return str(PythonVersion(found)) == wanted
    except InvalidVersion:
        return False
