"""Gate ``tag``: only plain names of the policy's form, of versions that every target can spell, and unmoved."""

from __future__ import annotations

import shlex

import pytest

from releaser.model.facts import Tag, Unobserved, World
from releaser.model.plan import Status
from releaser.policy.case import Case
from releaser.policy.tag import tag
from tests.cases import COMMIT, OBJECT, SIMPLE, case, one, source, statuses, tag_object

OTHER = "1e" * 20
NPM = '[artifacts.package]\nfiles = "*.tgz"\n[publish.demo]\nregistry = "npm"\nfiles = "package"\n'


def judge(given: Case) -> list[tuple[str, Status]]:
    return statuses(tuple(tag(given)))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("v1.0.0$(curl${IFS}x)", id="command substitution"),
        pytest.param("v1.0.0`id`", id="backticks"),
        pytest.param("v1.0.0;id", id="semicolon"),
        pytest.param('v1.0.0"x', id="double quote"),
        pytest.param("v1.0.0'$(id)'", id="single quotes around a command"),
        pytest.param("""v1.0.0"'$(id)'""", id="both kinds of quotes"),
        pytest.param("-v1.0.0", id="an option"),
        pytest.param("v1.0.0${{x}}", id="workflow expression"),
        pytest.param("", id="nothing"),
        pytest.param("v1.0.0\n", id="trailing newline"),
        pytest.param("v1.0.0 ", id="trailing space"),
        pytest.param("v1.0.0\\", id="backslash"),
        pytest.param("\uff561.0.0", id="fullwidth letter"),
        pytest.param("v\uff11.0.0", id="fullwidth digit"),
        pytest.param("v1.0.0\u202e", id="bidirectional override"),
        pytest.param("v1.0.0-\ufb01x", id="ligature"),
        pytest.param("v1.0.0\udcff", id="bytes that are no text"),
        pytest.param("v1.0.0-" + "a" * 58, id="65 characters"),
    ],
)
def test_a_name_outside_the_grammar_is_refused_and_shown_escaped(name: str) -> None:
    row = one(tuple(tag(case(name, source=None))))
    assert row.status is Status.FAIL
    assert "characters" in row.reason
    shown = row.object + row.found + row.hint + row.wanted
    assert shown.isascii()
    assert shown.isprintable()


@pytest.mark.parametrize("name", ["v1.0.0'$(id)'", """v1.0.0"'`id`'""", "-v1.0.0", "v1.0.0;id", "v1.0.0${{x}}"])
def test_the_command_of_the_hint_is_one_argument_to_a_shell(name: str) -> None:
    hint = one(tuple(tag(case(name, source=None)))).hint
    command = hint.partition("(`")[2].rpartition("`)")[0]
    assert shlex.split(command) == ["git", "push", "origin", "--delete", f"refs/tags/{name}"]


def test_a_name_that_no_shell_takes_gets_no_command() -> None:
    assert "git push" not in one(tuple(tag(case("v1.0.0\u202e", source=None)))).hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("1.0.0", "form of a release tag", id="without the prefix"),
        pytest.param("refs/heads/main", "form of a release tag", id="a tag that looks like a branch"),
        pytest.param("refs/tags/v1.0.0", "form of a release tag", id="a full ref as a name"),
        pytest.param("auroraview-v1.0.0", "form of a release tag", id="another component's tag"),
        pytest.param("v01.0.0", "leading zero", id="leading zero"),
        pytest.param("v1.0", "2 numbers", id="two numbers"),
        pytest.param("v1.0.0a1", "PEP 440", id="PEP 440 spelling"),
        pytest.param("v", "empty", id="no version"),
        pytest.param("v1.0.0/../x", "not a usable", id="a path behind the version"),
    ],
)
def test_a_name_without_a_version_is_refused(name: str, reason: str) -> None:
    row = one(tuple(tag(case(name, source=None))))
    assert (row.status, row.object) == (Status.FAIL, name)
    assert reason in row.reason
    assert row.found
    assert row.wanted
    assert row.hint


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        pytest.param("v1.0.0-1", SIMPLE, "1.0.0-1 as pep440", id="a SemVer pre-release that PEP 440 reads as post"),
        pytest.param("v1.0.0+a", SIMPLE, "1.0.0+a as pep440", id="build metadata for the Python index"),
        pytest.param("v1.0.0+a", NPM, "1.0.0+a as npm", id="build metadata for npm"),
        pytest.param("v1.0.0-rc", SIMPLE, "1.0.0-rc as pep440", id="a pre-release without a number"),
    ],
)
def test_a_version_that_a_target_cannot_spell_is_refused(name: str, text: str, refused: str) -> None:
    rows = judge(case(name, text))
    assert rows[0] == (refused, Status.FAIL)


def test_what_a_registry_cannot_spell_is_no_matter_where_nothing_goes() -> None:
    nowhere = SIMPLE + '[channels.prerelease]\nbranches = "main"\npublish = []\n'
    assert judge(case("v1.0.0-1", nowhere)) == [("v1.0.0-1", Status.PASS)]


@pytest.mark.parametrize(
    ("name", "released", "refused"),
    [
        pytest.param("v1.0.0-rc.1", ("1.0.0-rc1",), ("1.0.0-rc.1 beside 1.0.0-rc1",), id="one spelling for both"),
        pytest.param("v1.0.0-rc.2", ("1.0.0-rc.1", "0.9.0"), (), id="the next candidate"),
        pytest.param("v1.0.0-dev.1", ("1.0.0-beta.1",), ("1.0.0-dev.1 beside 1.0.0-beta.1",), id="dev after a beta"),
    ],
)
def test_the_version_keeps_its_place_beside_earlier_tags(
    name: str, released: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    text = SIMPLE + '[channels.prerelease]\nbranches = "*"\n[channels.dev]\nbranches = "*"\n'
    rows = judge(case(name, text, source=source(name, released=released)))
    assert [judged for judged, status in rows if status is Status.FAIL] == list(refused)


@pytest.mark.parametrize(
    ("remote", "status", "reason"),
    [
        pytest.param(tag_object(), Status.PASS, "the same at the forge", id="the same at the forge"),
        pytest.param(Unobserved("offline"), Status.PASS, "annotated tag on commit", id="the forge was not asked"),
        pytest.param(Unobserved("timed out", failed=True), Status.WAIT, "timed out", id="the forge did not answer"),
        pytest.param(None, Status.FAIL, "does not have this tag", id="the forge lacks it"),
        pytest.param(tag_object(commit=OTHER), Status.FAIL, "moved", id="it was moved to another commit"),
        pytest.param(tag_object(object=OTHER), Status.FAIL, "moved", id="made anew on the same commit"),
        pytest.param(tag_object(object=COMMIT), Status.FAIL, "moved", id="replaced by a lightweight tag"),
        pytest.param(tag_object(tagger="eve@example.invalid"), Status.FAIL, "moved", id="its tagger was left out"),
    ],
)
def test_the_tag_is_the_one_at_the_forge(remote: Tag | Unobserved | None, status: Status, reason: str) -> None:
    spelled, row = tag(case(world=World(tag=remote)))
    assert spelled.status is Status.PASS
    assert row.status is status
    assert reason in row.reason


def test_a_tag_that_does_not_exist_is_refused() -> None:
    spelled, missing = tag(case(source=None))
    assert spelled.status is Status.PASS
    assert (missing.status, missing.reason) == (Status.FAIL, "the repository has no such tag")
    assert "--at HEAD" in missing.hint


def test_a_tag_still_to_be_made_passes() -> None:
    planned = source(tag=Tag("v1.2.3", "", COMMIT, annotated=False))
    *_, row = tag(case(source=planned))
    assert (row.status, row.reason) == (Status.PASS, f"would be created at {COMMIT[:12]}")


def test_a_moved_tag_names_both_sides() -> None:
    *_, row = tag(case(world=World(tag=tag_object(object=OTHER))))
    assert row.found == f"{OTHER[:12]} on {COMMIT[:12]} at the forge"
    assert row.wanted == f"{OBJECT[:12]} on {COMMIT[:12]}"
