"""Gate ``metadata``: artifacts say inside what the release says outside."""

from __future__ import annotations

import pytest

from releaser.model.artifact import Inspected, Kind
from releaser.model.facts import Unobserved
from releaser.model.plan import GateRow, Status
from releaser.policy.metadata import metadata, same_name
from tests.cases import FULL, SIMPLE, case, file, full_files, one, wheel

SDK = "sdk-1.2.3-py3-none-any.whl"


def failures(files: tuple[Inspected, ...], text: str = FULL, tag: str = "v1.2.3") -> list[GateRow]:
    return [r for r in metadata(case(tag, text, artifacts=files)) if r.status is not Status.PASS]


def with_sdk(requires: dict[str, str]) -> tuple[Inspected, ...]:
    others = tuple(f for f in full_files() if f.artifact.name != SDK)
    return (*others, wheel(SDK, "sdk", "1.2.3", requires=requires))


def test_a_release_whose_packages_agree_passes() -> None:
    assert failures(full_files()) == []
    assert failures(full_files("1.2.3-rc.1", "1.2.3rc1"), tag="v1.2.3-rc.1") == []


@pytest.mark.parametrize(
    ("made", "found", "wanted"),
    [
        pytest.param(wheel("demo.whl", "demo", "1.2.4"), "demo 1.2.4", "1.2.3", id="another version inside"),
        pytest.param(wheel("demo.whl", "demo", "1.2"), "demo 1.2", "1.2.3", id="a shortened version"),
        pytest.param(wheel("demo.whl", "demo", "1.2.3+local"), "demo 1.2.3+local", "1.2.3", id="a local version"),
        pytest.param(wheel("demo.whl", "", ""), " ", "1.2.3", id="no metadata at all"),
        pytest.param(wheel("demo.whl", "dem0", "1.2.3"), "dem0", "demo", id="a name that looks alike"),
        pytest.param(wheel("demo.whl", "d\u0435mo", "1.2.3"), "d\u0435mo", "demo", id="a letter of another alphabet"),
    ],
)
def test_one_wheel(made: Inspected, found: str, wanted: str) -> None:
    row = failures((made,), SIMPLE)[0]
    assert (row.object, row.status, row.found, row.wanted) == ("demo.whl", Status.FAIL, found, wanted)
    assert row.hint


@pytest.mark.parametrize(
    ("requires", "status", "found"),
    [
        pytest.param({"core": ">=1.2.3,<2.0"}, Status.PASS, "", id="the same constraint"),
        pytest.param({"core": "<2,>=1.2.3"}, Status.PASS, "", id="in another order"),
        pytest.param({"Core": ">=1.2.3,<2.0"}, Status.PASS, "", id="another spelling of the name"),
        pytest.param({"core": ">=0.1,<2.0"}, Status.FAIL, "core>=0.1,<2.0", id="a looser one"),
        pytest.param({"core": ">=1.2.3"}, Status.FAIL, "core>=1.2.3", id="without the upper bound"),
        pytest.param({"core": "==1.2.3"}, Status.FAIL, "core==1.2.3", id="a stricter one"),
        pytest.param({"corelib": ">=1.2.3,<2.0"}, Status.FAIL, "no requirement on core", id="on another package"),
        pytest.param({}, Status.FAIL, "no requirement on core", id="none"),
        pytest.param({"core": "^1.2"}, Status.FAIL, "core^1.2", id="one that is not PEP 440"),
    ],
)
def test_the_constraint_that_the_policy_wants(requires: dict[str, str], status: Status, found: str) -> None:
    rows = [r for r in metadata(case(text=FULL, artifacts=with_sdk(requires))) if r.object == SDK]
    assert rows[1].status is status
    assert rows[1].found == found


@pytest.mark.parametrize(
    ("specifier", "refused"),
    [
        pytest.param(">=1.2.3rc1,<2", False, id="admits the sibling"),
        pytest.param("", False, id="any version"),
        pytest.param(">=1.3", True, id="wants a later one"),
        pytest.param("<1.2.3rc1", True, id="wants an earlier one"),
        pytest.param("nonsense", True, id="cannot be read"),
    ],
)
def test_a_requirement_on_a_sibling_must_admit_it(specifier: str, refused: bool) -> None:
    text = FULL.replace('requires = "core>={pep440},<2.0"\n', "")
    files = tuple(f for f in full_files("1.2.3-rc.1", "1.2.3rc1") if not f.artifact.name.startswith("sdk"))
    sdk = wheel("sdk-1.2.3rc1-py3-none-any.whl", "sdk", "1.2.3rc1", requires={"core": specifier})
    rows = failures((*files, sdk), text, "v1.2.3-rc.1")
    assert [r.reason for r in rows] == (["its requirement on core excludes the one in this release"] if refused else [])


def test_a_crate_is_held_to_its_own_spelling() -> None:
    files = full_files("1.2.3", "1.2.3rc1")
    rows = failures(files, tag="v1.2.3-rc.1")
    assert [(r.object, r.found, r.wanted) for r in rows] == [("core-1.2.3.crate", "core 1.2.3", "1.2.3-rc.1")]


def test_a_version_that_cannot_be_inside_is_refused() -> None:
    row = failures((wheel("demo.whl", "demo", "1.2.3.post1"),), SIMPLE, "v1.2.3-1")[0]
    assert (row.object, row.status) == ("demo.whl", Status.FAIL)


def test_a_rule_that_is_no_requirement_is_the_policys_fault() -> None:
    row = failures((wheel("demo.whl", "demo", "1.2.3"),), SIMPLE + 'requires = "core is nice"\n')[0]
    assert "policy" in row.reason
    assert row.hint


def test_a_broken_archive_is_not_read() -> None:
    broken = file("demo.whl", Kind.WHEEL, problems=("trailing bytes",))
    assert tuple(metadata(case(artifacts=(broken,)))) == ()


@pytest.mark.parametrize(
    ("found", "wanted", "kind", "same"),
    [
        ("My.Pkg", "my-pkg", Kind.WHEEL, True),
        ("my_pkg", "my-pkg", Kind.SDIST, True),
        ("my__pkg", "my-pkg", Kind.SDIST, True),
        ("mypkg", "my-pkg", Kind.WHEEL, False),
        ("my_pkg", "my-pkg", Kind.CRATE, False),
        ("pkg", "@acme/pkg", Kind.NPM, False),
        ("@acme/pkg", "@acme/pkg", Kind.NPM, True),
        ("Pkg", "pkg", Kind.NPM, False),
    ],
)
def test_when_two_names_are_one_package(found: str, wanted: str, kind: Kind, same: bool) -> None:
    assert same_name(found, wanted, kind) is same


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("no --artifacts"), Status.SKIP, id="none were given"),
        pytest.param(Unobserved("unreadable", failed=True), Status.WAIT, id="they could not be read"),
    ],
)
def test_unseen_artifacts_never_pass(fact: Unobserved, status: Status) -> None:
    assert one(tuple(metadata(case(artifacts=fact)))).status is status


def test_without_a_version_the_tag_comes_first() -> None:
    assert one(tuple(metadata(case("nonsense")))).status is Status.SKIP
