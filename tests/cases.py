"""Values for tests of the pure core: each function makes one that is in order, and takes what shall be different."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from releaser.adapters.homebrew_render import CaskSettings
from releaser.adapters.nupkg import ChocolateySettings
from releaser.engine.assemble import manifest_for
from releaser.engine.planner import case_for
from releaser.model.approval import Decision, Vote, Voter
from releaser.model.artifact import Artifact, Contents, Inspected, Kind, Requirement
from releaser.model.facts import (
    Ballot,
    Facts,
    Objection,
    Presence,
    Shelf,
    Source,
    Tag,
    Unobserved,
    VersionEntry,
    World,
)
from releaser.model.manifest import Manifest, Person, PolicyRef, RepositoryRef
from releaser.model.plan import GateRow, Status
from releaser.model.policy import KindSettings, Policy, policy_digest
from releaser.model.spelling import Ecosystem
from releaser.model.terms import Terms
from releaser.model.version import Version
from releaser.policy.case import Case
from releaser.policy.decide import settle

REGISTRIES = {
    "pypi": Terms(Ecosystem.PEP440, frozenset({Kind.WHEEL, Kind.SDIST})),
    "crates.io": Terms(Ecosystem.CARGO, frozenset({Kind.CRATE})),
    "npm": Terms(Ecosystem.NPM, frozenset({Kind.NPM})),
}
OBJECT, COMMIT = "0b" * 20, "c0" * 20
NOW = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)
REPOSITORY = "acme/demo"

SIMPLE = """\
[artifacts.wheels]
files = "*.whl"
[publish.demo]
registry = "pypi"
files = "wheels"
"""
"""One package at one registry."""

FULL = """\
[version]
source = "Cargo.toml"

[channels.stable]
branches = "main"
[channels.prerelease]
branches = "prerelease/*"
[channels.dev]
branches = "*"
draft = false
publish = []

[checks]
required = ["ci"]

[approval]
quorum = 2
approvers = ["team:acme/maintainers"]

[artifacts.core]
files = "core-*.whl"
expect = ["manylinux*_x86_64", "macosx*_arm64"]
[artifacts.crate]
files = "*.crate"
[artifacts.sdk]
files = ["sdk-*.whl", "sdk-{pep440}.tar.gz"]
[artifacts.cli]
files = "demo_*"

[publish.core-pypi]
registry = "pypi"
package = "core"
files = "core"
environment = "pypi"
[publish.core-crate]
registry = "crates.io"
package = "core"
files = "crate"
[publish.sdk]
registry = "pypi"
files = "sdk"
needs = "core-pypi"
requires = "core>={pep440},<2.0"

[downstream.brew]
kind = "homebrew-cask"
repository = "acme/homebrew-tap"
description = "Demonstrates"
homepage = "https://example.invalid"
assets = { macos-arm64 = "demo_mac" }
"""
"""Two registries, an order between packages, and a tap."""


KINDS: dict[str, type[KindSettings]] = {"homebrew-cask": CaskSettings, "chocolatey": ChocolateySettings}


def policy(text: str = SIMPLE) -> Policy:
    return Policy.parse(text, "releaser.toml", registries=set(REGISTRIES), dispatchers=KINDS)


def file(
    name: str,
    kind: Kind = Kind.FILE,
    package: str = "",
    version: str = "",
    *,
    requires: Mapping[str, str] | None = None,
    platforms: tuple[str, ...] = (),
    problems: tuple[str, ...] = (),
    content: bytes | None = None,
) -> Inspected:
    """An artifact whose bytes are its name, unless *content* says otherwise."""
    data = name.encode() if content is None else content
    sha512 = hashlib.sha512(data).hexdigest() if kind is Kind.NPM else None
    return Inspected(
        Artifact(
            name=name, kind=kind, group="", size=len(data), sha256=hashlib.sha256(data).hexdigest(), sha512=sha512
        ),
        Contents(
            name=package,
            version=version,
            requirements=tuple(Requirement(n, s) for n, s in (requires or {}).items()),
            platforms=platforms,
            entries=0 if kind is Kind.FILE else 3,
            problems=problems,
        ),
    )


def wheel(
    name: str, package: str, version: str, platform: str = "any", requires: Mapping[str, str] | None = None
) -> Inspected:
    return file(name, Kind.WHEEL, package, version, platforms=(platform,), requires=requires)


DEMO_WHEEL = wheel("demo-1.2.3-py3-none-any.whl", "demo", "1.2.3")
"""The one file of a release under `SIMPLE`."""


def full_files(version: str = "1.2.3", pep440: str = "1.2.3") -> tuple[Inspected, ...]:
    """Every file that `FULL` expects, in no helpful order."""
    core = f"core-{pep440}-cp310-abi3"
    requires = {"core": f">={pep440},<2.0"}
    return (
        file("demo_mac"),
        wheel(f"sdk-{pep440}-py3-none-any.whl", "sdk", pep440, requires=requires),
        file(f"sdk-{pep440}.tar.gz", Kind.SDIST, "sdk", pep440, requires=requires),
        wheel(f"{core}-manylinux_2_17_x86_64.whl", "core", pep440, "manylinux_2_17_x86_64"),
        wheel(f"{core}-macosx_11_0_arm64.whl", "core", pep440, "macosx_11_0_arm64"),
        file(f"core-{version}.crate", Kind.CRATE, "core", version),
    )


def tag_object(name: str = "v1.2.3", object: str = OBJECT, commit: str = COMMIT, tagger: str = "") -> Tag:
    return Tag(name, object, commit, annotated=object != commit, tagger=tagger)


def source(
    name: str = "v1.2.3",
    *,
    branches: tuple[str, ...] | Unobserved = ("main",),
    versions: tuple[VersionEntry, ...] | Unobserved = (),
    released: tuple[str, ...] = (),
    tag: Tag | None = None,
) -> Source:
    others = tuple(Version.parse(text) for text in released)
    return Source(tag=tag or tag_object(name), branches=branches, versions=versions, released=others)


_HERE = Unobserved("here")


def case(
    tag: str = "v1.2.3",
    text: str = SIMPLE,
    *,
    source: Source | Unobserved | None = _HERE,
    artifacts: tuple[Inspected, ...] | Unobserved = (DEMO_WHEEL,),
    objections: tuple[Objection, ...] = (),
    world: World | None = None,
    manifest: Manifest | None = None,
) -> Case:
    """A release in order under the policy *text*; without *source* it is on ``main`` and states its version."""
    rules = policy(text)
    path = rules.version.source
    stated = (entry(path, tag.removeprefix("v"), Ecosystem.CARGO),) if path else ()
    seen = Source(tag_object(tag), ("main",), stated) if isinstance(source, Unobserved) else source
    facts = Facts(seen, artifacts, objections, world or World())
    return case_for(rules, tag, facts, REGISTRIES, manifest)


def policy_ref(text: str = SIMPLE) -> PolicyRef:
    return PolicyRef(path=".github/releaser.toml", commit=COMMIT, digest=policy_digest(text.encode()))


def manifest(
    given: Case | None = None, *, text: str = SIMPLE, initiator: Person | None = None, tagger: str = ""
) -> Manifest:
    """The manifest of a case that its gates let through."""
    judged = given or case(text=text, source=source(tag=tag_object(tagger=tagger)))
    return manifest_for(judged, RepositoryRef(name=REPOSITORY, id=7), policy_ref(text), initiator, settle(judged))


def voter(
    login: str = "ada",
    *,
    roles: frozenset[str] | None = frozenset({"role:admin"}),
    human: bool = True,
    emails: tuple[str, ...] = (),
    id: int | None = None,
) -> Voter:
    """A person whose number follows from the login."""
    number = sum(login.encode()) if id is None else id
    return Voter(id=number, login=login, human=human, roles=roles, emails=frozenset(emails))


def vote(by: Voter, about: Manifest, decision: Decision = Decision.APPROVE, *, age: timedelta = timedelta()) -> Vote:
    """A vote on exactly *about*, given *age* ago."""
    return Vote(
        by=by,
        at=NOW - age,
        decision=decision,
        manifest=about.digest(),
        policy=about.policy.digest,
        tag=about.tag.name,
        repository=about.repository.name,
        via="recorded",
    )


def ballot(about: Manifest, *votes: Vote, begun: bool = False) -> Ballot:
    return Ballot(about.digest(), about.policy.digest, votes, NOW, begun)


def shelf(
    listed: int = 0, *, package: bool = True, foreign: tuple[str, ...] = (), files: Mapping[str, Presence] | None = None
) -> Shelf:
    return Shelf(package=package, listed=listed, files=files or {}, foreign=foreign)


def entry(
    object: str, found: str | None, ecosystem: Ecosystem = Ecosystem.SEMVER, dynamic: str = "", problem: str = ""
) -> VersionEntry:
    return VersionEntry(object, ecosystem, found, dynamic=dynamic, problem=problem, fix=f"write {{wanted}} in {object}")


def with_world(given: Case, **world: Any) -> Case:
    """The same case with another view of the outside."""
    return replace(given, facts=replace(given.facts, world=replace(given.facts.world, **world)))


def statuses(rows: tuple[GateRow, ...]) -> list[tuple[str, Status]]:
    """Which objects were judged how."""
    return [(row.object, row.status) for row in rows]


def one(rows: tuple[GateRow, ...]) -> GateRow:
    """The only row there is."""
    (row,) = rows
    return row
