"""Gate ``artifacts``: the folder holds every file the policy expects, and nothing else."""

from __future__ import annotations

import pytest

from releaser.model.artifact import Inspected
from releaser.model.facts import Unobserved
from releaser.model.plan import Status
from releaser.model.version import Version
from releaser.policy.artifacts import artifacts, fill, placeholders
from tests.cases import DEMO_WHEEL, FULL, SIMPLE, case, file, full_files, one, statuses, wheel

MAC = "core-1.2.3-cp310-abi3-macosx_11_0_arm64.whl"


def without(name: str) -> tuple[Inspected, ...]:
    return tuple(f for f in full_files() if f.artifact.name != name)


def blocked(files: tuple[Inspected, ...], text: str = FULL) -> list[str]:
    return [row.object for row in artifacts(case(text=text, artifacts=files)) if row.status is Status.FAIL]


def test_a_complete_folder_passes_group_by_group() -> None:
    rows = statuses(tuple(artifacts(case(text=FULL, artifacts=full_files()))))
    assert rows == [(name, Status.PASS) for name in ("core", "crate", "sdk", "cli")]


@pytest.mark.parametrize(
    ("files", "objects"),
    [
        pytest.param(without(MAC), ["core: macosx*_arm64"], id="a platform is missing"),
        pytest.param(without("core-1.2.3.crate"), ["crate"], id="a whole group is missing"),
        pytest.param((*full_files(), file("notes.txt")), ["notes.txt"], id="an extra file"),
        pytest.param((*full_files(), file("release.json")), ["release.json"], id="a planted manifest"),
        pytest.param(
            (*full_files(), wheel("core-1.2.3-win.whl", "core", "1.2.3", "win_amd64")),
            ["core-1.2.3-win.whl"],
            id="a platform that nobody expects",
        ),
        pytest.param(
            (), ["core: manylinux*_x86_64", "core: macosx*_arm64", "crate", "sdk", "cli"], id="an empty folder"
        ),
        pytest.param(
            tuple(f for f in full_files("1.2.4", "1.2.4") if "tar.gz" in f.artifact.name) + without("sdk-1.2.3.tar.gz"),
            ["sdk-1.2.4.tar.gz"],
            id="a pattern with a version takes no other version",
        ),
        pytest.param(
            (*without(MAC), wheel(MAC, "core", "1.2.3", "linux_x86_64")),
            ["core: macosx*_arm64", MAC],
            id="a wheel for another platform than its name says",
        ),
    ],
)
def test_what_blocks(files: tuple[Inspected, ...], objects: list[str]) -> None:
    assert blocked(files) == objects


def test_a_missing_platform_says_what_is_there() -> None:
    (row,) = (r for r in artifacts(case(text=FULL, artifacts=without(MAC))) if r.status is Status.FAIL)
    assert row.wanted == "macosx*_arm64"
    assert row.found == "core-1.2.3-cp310-abi3-manylinux_2_17_x86_64.whl"
    assert row.hint


def test_a_missing_group_is_described_in_this_versions_words() -> None:
    files = tuple(f for f in full_files() if not f.artifact.name.startswith("sdk"))
    (row,) = (r for r in artifacts(case(text=FULL, artifacts=files)) if r.status is Status.FAIL)
    assert (row.object, row.wanted) == ("sdk", "sdk-*.whl or sdk-1.2.3.tar.gz")


def test_a_file_of_two_groups_belongs_to_none() -> None:
    text = SIMPLE + '[artifacts.all]\nfiles = "demo-*"\n'
    rows = tuple(artifacts(case(text=text)))
    assert [(r.object, r.status) for r in rows] == [
        (DEMO_WHEEL.artifact.name, Status.FAIL),
        ("wheels", Status.FAIL),
        ("all", Status.FAIL),
    ]
    assert rows[0].found == "wheels, all"


def test_a_group_without_files_claims_none() -> None:
    assert blocked(full_files(), FULL + "\n[artifacts.later]\nfiles = []\n") == ["later"]


def test_patterns_do_not_fold_case() -> None:
    assert blocked((file("Demo.WHL"),), SIMPLE) == ["Demo.WHL", "wheels"]


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("no --artifacts"), Status.SKIP, id="none were given"),
        pytest.param(Unobserved("unreadable", failed=True), Status.WAIT, id="they could not be read"),
    ],
)
def test_unseen_artifacts_never_pass(fact: Unobserved, status: Status) -> None:
    assert one(tuple(artifacts(case(artifacts=fact)))).status is status


def test_without_a_version_the_tag_comes_first() -> None:
    assert one(tuple(artifacts(case("nonsense")))).status is Status.SKIP


@pytest.mark.parametrize(
    ("version", "filled"),
    [
        ("1.2.3-rc.1", "v1.2.3-rc.1 1.2.3-rc.1 1.2.3rc1 {other}"),
        ("1.2.3-1", "v1.2.3-1 1.2.3-1 {pep440} {other}"),
    ],
)
def test_placeholders_stand_only_where_they_have_a_meaning(version: str, filled: str) -> None:
    words = placeholders(Version.parse(version), f"v{version}")
    assert fill("{tag} {version} {pep440} {other}", words) == filled
