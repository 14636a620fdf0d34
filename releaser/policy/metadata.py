"""Gate ``metadata``: artifacts say inside what the release says outside."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.errors import ReleaserError
from releaser.model.artifact import Inspected, Kind, Requirement
from releaser.model.facts import Unobserved
from releaser.model.manifest import PlannedPublication
from releaser.model.plan import GateRow
from releaser.model.spelling import Ecosystem, spell
from releaser.model.version import Version
from releaser.policy.artifacts import fill, placeholders
from releaser.policy.case import Case, Row

_ECOSYSTEMS = {
    Kind.WHEEL: Ecosystem.PEP440,
    Kind.SDIST: Ecosystem.PEP440,
    Kind.CRATE: Ecosystem.CARGO,
    Kind.NPM: Ecosystem.NPM,
}
_EDIT = "edit `requires` of the publication in the policy"
_REBUILD = "build again from the tagged commit"


def metadata(case: Case) -> Iterator[GateRow]:
    """Let through packages whose own name, version and constraints between each other are the release's."""
    if isinstance(case.facts.artifacts, Unobserved):
        yield Row("metadata", "all").missing(case.facts.artifacts)
        return
    if case.version is None:
        yield Row("metadata", "all").skip("the tag gate comes first")
        return
    for file in case.facts.artifacts:
        if file.artifact.kind in _ECOSYSTEMS and not file.contents.problems:
            yield _version(file, case.version)
    for publication in case.publications:
        for file in case.artifacts:
            if file.artifact.name in publication.files and not file.contents.problems:
                yield from _published(file, publication, case, case.version)


def _version(file: Inspected, version: Version) -> GateRow:
    row = Row("metadata", file.artifact.name)
    try:
        wanted = spell(version, _ECOSYSTEMS[file.artifact.kind])
    except ReleaserError as error:
        return row.fail(error.message, found=error.found, wanted=error.wanted, hint=error.hint)
    found = file.contents.version
    if found == wanted:
        return row.passed(f"{file.contents.name} {found}")
    return row.fail("another version inside", found=f"{file.contents.name} {found}", wanted=wanted, hint=_REBUILD)


def _published(file: Inspected, publication: PlannedPublication, case: Case, version: Version) -> Iterator[GateRow]:
    row = Row("metadata", file.artifact.name)
    if not same_name(file.contents.name, publication.package, file.artifact.kind):
        yield row.fail(
            f"another package inside than {publication.id} publishes",
            found=file.contents.name or "no name",
            wanted=publication.package,
            hint="name the right files or the right `package` in the policy",
        )
    words = placeholders(version, case.tag)
    for constraint in case.policy.publish[publication.id].requires:
        yield _constraint(row, fill(constraint, words), file)
    own = {p.package: p for p in case.publications if p.registry == publication.registry and p is not publication}
    for requirement in file.contents.requirements:
        for package, other in own.items():
            if same_name(requirement.name, package, file.artifact.kind):
                yield from _admits(row, requirement, other, file.artifact.kind)


def same_name(found: str, wanted: str, kind: Kind) -> bool:
    """Whether two names are one package at a registry for *kind*; the Python index folds case, ``-``, ``_``, ``.``."""
    if _ECOSYSTEMS.get(kind) is not Ecosystem.PEP440:
        return found == wanted
    from packaging.utils import canonicalize_name

    return canonicalize_name(found) == canonicalize_name(wanted)


def _constraint(row: Row, wanted: str, file: Inspected) -> GateRow:
    """The metadata must declare *wanted*, no looser and no stricter."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as PythonRequirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        rule = PythonRequirement(wanted)
    except InvalidRequirement as error:
        return row.fail("`requires` in the policy is not a requirement", found=wanted, wanted=str(error), hint=_EDIT)
    declared = [r for r in file.contents.requirements if same_name(r.name, rule.name, file.artifact.kind)]
    for requirement in declared:
        try:
            if SpecifierSet(requirement.specifier) == rule.specifier:
                return row.passed(f"requires {rule}")
        except InvalidSpecifier:
            continue
    return row.fail(
        f"the constraint on {rule.name} is not the release's",
        found=", ".join(f"{r.name}{r.specifier}" for r in declared) or f"no requirement on {rule.name}",
        wanted=str(rule),
        hint=_REBUILD + " with the constraint set",
    )


def _admits(row: Row, requirement: Requirement, other: PlannedPublication, kind: Kind) -> Iterator[GateRow]:
    """A Python requirement on a sibling must admit the sibling's version of this very release."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if _ECOSYSTEMS.get(kind) is not Ecosystem.PEP440:
        return
    try:
        admitted = SpecifierSet(requirement.specifier).contains(other.version, prereleases=True)
    except InvalidSpecifier:
        admitted = False
    if not admitted:
        yield row.fail(
            f"its requirement on {other.package} excludes the one in this release",
            found=f"{requirement.name}{requirement.specifier}",
            wanted=f"a constraint that admits {other.version}",
            hint=_REBUILD + " with the constraint set",
        )
