"""What `policies/cog.toml` says about every tag that Cog made with this release process.

``cog_history.json`` holds recorded facts of the public repository replicate/cog: each tag's object and commit, the
long-lived branches that contain it (and how many topic branches do), and the versions that its files state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.planner import plan
from releaser.model.artifact import Inspected, Kind
from releaser.model.facts import CheckState, Source, Tag, VersionEntry, World
from releaser.model.plan import GateRow, Plan, Status, Verdict
from releaser.model.policy import policy_digest
from releaser.model.spelling import Ecosystem
from releaser.model.version import Version
from tests.cases import case, file, wheel

SEED = Path("policies/cog.toml").read_text()
ON_MAIN = SEED.replace('branches = ["prerelease/*"]', 'branches = ["main", "prerelease/*"]')
HISTORY: list[dict[str, Any]] = json.loads(Path(__file__).with_name("cog_history.json").read_text())
READY, REFUSED = Verdict.READY, Verdict.REFUSED

EXPECTED = {
    # tag: (pre-releases on prerelease/* only, pre-releases on main as well)
    "v0.17.0-alpha2": (REFUSED, REFUSED),
    "v0.17.0-alpha3": (REFUSED, REFUSED),
    "v0.17.0-alpha4": (REFUSED, REFUSED),
    "v0.17.0-beta1": (REFUSED, REFUSED),
    "v0.17.0-beta2": (READY, READY),
    "v0.17.0-rc.1": (REFUSED, READY),
    "v0.17.0-rc.2": (REFUSED, READY),
    "v0.17.0-rc.3": (REFUSED, READY),
    "v0.17.0-rc.4": (REFUSED, READY),
    "v0.17.0": (READY, READY),
    "v0.17.1": (READY, READY),
    "v0.17.2": (READY, READY),
    "v0.18.0": (READY, READY),
    "v0.19.0": (READY, READY),
    "v0.19.1": (READY, READY),
    "v0.19.2": (READY, READY),
    "v0.19.3": (READY, READY),
    "v0.20.0": (READY, READY),
    "v0.21.0-rc.1": (REFUSED, READY),
    "v0.21.0-rc.2": (REFUSED, READY),
    "v0.21.0-rc.3": (REFUSED, READY),
    "v0.21.0": (READY, READY),
    "v0.22.0": (READY, READY),
}
SPELLED = {
    "v0.17.0-alpha2": "0.17.0a2",
    "v0.17.0-beta2": "0.17.0b2",
    "v0.17.0-rc.4": "0.17.0rc4",
    "v0.17.0": "0.17.0",
    "v0.21.0-rc.3": "0.21.0rc3",
}


def built(version: str, pep440: str) -> tuple[Inspected, ...]:
    """A complete build of a version, as the policy wants it."""
    requires = {"coglet": f">={pep440},<1.0"}
    platforms = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64")
    return (
        *(wheel(f"coglet-{pep440}-cp310-abi3-{p}.whl", "coglet", pep440, p) for p in platforms),
        file(f"coglet-{version}.crate", Kind.CRATE, "coglet", version),
        wheel(f"cog-{pep440}-py3-none-any.whl", "cog", pep440, requires=requires),
        file(f"cog-{pep440}.tar.gz", Kind.SDIST, "cog", pep440, requires=requires),
        *(file(f"cog_{system}_{cpu}") for system in ("Darwin", "Linux") for cpu in ("arm64", "x86_64")),
    )


def entries(versions: dict[str, str]) -> tuple[VersionEntry, ...]:
    dynamic = VersionEntry("pyproject.toml [project]", Ecosystem.PEP440, None, dynamic="setuptools_scm")
    return (
        *(
            VersionEntry(place, Ecosystem.CARGO if "Cargo" in place else Ecosystem.SEMVER, found)
            for place, found in versions.items()
        ),
        dynamic,
    )


def judged(recorded: dict[str, Any], text: str, **changed: Any) -> Plan:
    facts = recorded | changed
    name = facts["tag"]
    seen = Tag(name, facts["object"], facts["commit"], annotated=facts["object"] != facts["commit"])
    source = Source(
        tag=seen,
        branches=tuple(facts["branches"]),
        versions=entries(facts["versions"]),
        released=tuple(Version.parse(other["tag"][1:]) for other in HISTORY if other["tag"] != name),
    )
    version = plan(case(name, text, source=source, artifacts=()), "replicate/cog", "").version
    assert version is not None
    assert version.pep440 is not None
    given = case(
        name,
        text,
        source=source,
        artifacts=built(version.semver, version.pep440),
        world=World(tag=seen, checks={"ci-complete": CheckState.SUCCESS}),
    )
    return plan(given, "replicate/cog", policy_digest(text.encode()))


def failing(found: Plan) -> list[GateRow]:
    return [row for row in found.gates if row.status is Status.FAIL]


def recorded(tag: str) -> dict[str, Any]:
    return next(facts for facts in HISTORY if facts["tag"] == tag)


def test_the_history_is_complete() -> None:
    assert [facts["tag"] for facts in HISTORY] == list(EXPECTED)
    assert ON_MAIN != SEED


@pytest.mark.parametrize("facts", HISTORY, ids=lambda facts: facts["tag"])
def test_the_verdicts(facts: dict[str, Any]) -> None:
    assert (judged(facts, SEED).verdict, judged(facts, ON_MAIN).verdict) == EXPECTED[facts["tag"]]


@pytest.mark.parametrize(
    "facts", [f for f in HISTORY if EXPECTED[f["tag"]][0] is REFUSED], ids=lambda facts: facts["tag"]
)
def test_what_is_refused_is_refused_by_the_branch_rule_alone(facts: dict[str, Any]) -> None:
    (row,) = failing(judged(facts, SEED))
    core = facts["tag"][1:].split("-")[0]
    assert row.name == "branch"
    assert row.found == facts["commit"][:12] + (" is on no branch" if not facts["branches"] else " is on ") + ", ".join(
        facts["branches"]
    )
    assert row.wanted == f"a branch matching prerelease/*, such as prerelease/{core}"
    assert row.hint == f"git push origin {facts['commit'][:12]}:refs/heads/prerelease/{core}"


def test_beta2_is_on_the_branch_that_the_others_lack() -> None:
    (row,) = (r for r in judged(recorded("v0.17.0-beta2"), SEED).gates if r.name == "branch")
    assert row.reason == "prerelease: prerelease/0.17.0 contains 353f0644530b"


def test_an_alpha_pushed_to_its_branch_would_be_ready() -> None:
    assert judged(recorded("v0.17.0-alpha2"), SEED, branches=["prerelease/0.17.0"]).verdict is READY


def test_a_version_left_behind_in_the_lockfile_is_found() -> None:
    facts = recorded("v0.22.0")
    stale = facts["versions"] | {"crates/Cargo.lock coglet": "0.21.0"}
    (row,) = failing(judged(facts, SEED, versions=stale))
    assert (row.name, row.object, row.found, row.wanted) == ("lockstep", "crates/Cargo.lock coglet", "0.21.0", "0.22.0")


@pytest.mark.parametrize(("tag", "pep440"), SPELLED.items())
def test_one_version_in_two_spellings(tag: str, pep440: str) -> None:
    found = judged(recorded(tag), ON_MAIN)
    assert found.version is not None
    assert (found.version.pep440, found.version.cargo) == (pep440, tag[1:])
    assert {p.id: (p.package, p.version, p.wave) for p in found.publications} == {
        "coglet-crate": ("coglet", tag[1:], 1),
        "coglet-pypi": ("coglet", pep440, 1),
        "sdk": ("cog", pep440, 2),
    }


@pytest.mark.parametrize(("tag", "deliveries"), [("v0.22.0", ["homebrew"]), ("v0.21.0-rc.1", [])])
def test_only_stable_versions_reach_homebrew(tag: str, deliveries: list[str]) -> None:
    assert [row.id for row in judged(recorded(tag), ON_MAIN).downstream] == deliveries


def test_a_dev_version_may_come_from_anywhere_and_goes_nowhere() -> None:
    versions = dict.fromkeys(recorded("v0.22.0")["versions"], "0.23.0-dev.1")
    found = judged(recorded("v0.22.0"), SEED, tag="v0.23.0-dev.1", branches=[], versions=versions)
    assert (found.verdict, found.channel, found.publications, found.downstream) == (READY, "dev", (), ())
