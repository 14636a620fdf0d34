"""From a judged case to ``release.json``: the same case gives the same bytes, and a blocked one none."""

from __future__ import annotations

import pytest

from releaser.engine.assemble import BEFORE_DRAFT, manifest_for
from releaser.errors import Exit, RefusedError
from releaser.model.artifact import Kind
from releaser.model.facts import CheckState, Objection, Presence, Unobserved, World
from releaser.model.manifest import Manifest, Person, RepositoryRef
from releaser.model.plan import GateRow, Status
from releaser.policy.case import Case
from releaser.policy.decide import RULES, settle
from tests.cases import (
    COMMIT,
    DEMO_WHEEL,
    FULL,
    OBJECT,
    SIMPLE,
    case,
    entry,
    file,
    full_files,
    policy_ref,
    shelf,
    source,
    tag_object,
)

STATED = (entry("Cargo.toml", "1.2.3"),)
HERE = RepositoryRef(name="acme/demo", id=7)


def assemble(given: Case, rows: tuple[GateRow, ...] | None = None, text: str = SIMPLE) -> Manifest:
    return manifest_for(
        given, HERE, policy_ref(text), Person(id=5, login="ada"), settle(given) if rows is None else rows
    )


def refusal(given: Case, rows: tuple[GateRow, ...] | None = None) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        assemble(given, rows)
    assert caught.value.exit is Exit.REFUSED
    assert caught.value.hint
    return caught.value


def test_the_same_case_gives_the_same_bytes() -> None:
    one, other = (assemble(case(text=FULL, artifacts=files)) for files in (full_files(), full_files()[::-1]))
    assert one.canonical() == other.canonical()
    assert one.digest() == other.digest()


def test_what_the_outside_shows_is_no_part_of_the_release() -> None:
    quiet = case(text=FULL, artifacts=full_files())
    busy = case(
        text=FULL,
        artifacts=full_files(),
        source=source(branches=("main", "other"), released=("1.0.0",), versions=STATED),
        world=World(tag_object(), checks={"ci": CheckState.SUCCESS}, shelves={"sdk": shelf(package=False)}),
    )
    assert assemble(quiet).canonical() == assemble(busy).canonical()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            case(artifacts=(file(DEMO_WHEEL.artifact.name, Kind.WHEEL, "demo", "1.2.3", content=b"x"),)), id="bytes"
        ),
        pytest.param(case(source=source(tag=tag_object(object="ff" * 20))), id="tag object"),
        pytest.param(case(source=source(tag=tag_object(commit="ff" * 20))), id="commit"),
        pytest.param(case(source=source(tag=tag_object(tagger="ada@example.invalid"))), id="tagger"),
        pytest.param(case(text=SIMPLE + 'environment = "pypi"\n'), id="environment"),
    ],
)
def test_every_difference_is_another_release(given: Case) -> None:
    assert assemble(given).digest() != assemble(case()).digest()


def test_what_is_written() -> None:
    made = assemble(
        case(
            text=FULL,
            source=source(tag=tag_object(tagger="t@example.invalid"), versions=STATED),
            artifacts=full_files(),
        )
    )
    assert made.repository == HERE
    assert (made.tag.name, made.tag.object, made.tag.commit) == ("v1.2.3", OBJECT, COMMIT)
    assert made.tag.tagger == "t@example.invalid"
    assert made.initiator == Person(id=5, login="ada")
    assert (made.version, made.channel, made.draft) == ("1.2.3", "stable", True)
    assert [a.name for a in made.artifacts] == sorted(f.artifact.name for f in full_files())
    assert {a.group for a in made.artifacts} == {"core", "crate", "sdk", "cli"}
    assert [(p.id, p.wave) for p in made.publications] == [("core-crate", 1), ("core-pypi", 1), ("sdk", 2)]
    assert [d.id for d in made.downstream] == ["brew"]


def test_a_dev_release_is_no_draft_and_goes_nowhere() -> None:
    made = assemble(case("v1.2.3-dev.1", FULL, artifacts=full_files("1.2.3-dev.1", "1.2.3.dev1")))
    assert (made.channel, made.draft, made.publications, made.downstream) == ("dev", False, (), ())
    assert len(made.artifacts) == len(full_files())


@pytest.mark.parametrize(
    ("given", "gate"),
    [
        pytest.param(case("v1.2.3;id", source=None), "tag", id="a tag outside the grammar"),
        pytest.param(case("nonsense"), "tag", id="a tag without a version"),
        pytest.param(case(source=None), "tag", id="no such tag"),
        pytest.param(case(world=World(tag=tag_object(object="ff" * 20))), "tag", id="a moved tag"),
        pytest.param(case(world=World(tag=Unobserved("503", failed=True))), "tag", id="a forge that does not answer"),
        pytest.param(case("v1.2.3-rc.1", FULL), "branch", id="prerelease on main"),
        pytest.param(case(source=source(versions=(entry("V", "1.2.2"),))), "lockstep", id="a version left behind"),
        pytest.param(
            case(text=SIMPLE + '[checks]\nrequired = "ci"\n', world=World(checks={"ci": CheckState.FAILURE})),
            "checks",
            id="a red check",
        ),
        pytest.param(
            case(text=SIMPLE + '[checks]\nrequired = "ci"\n', world=World(checks={})), "checks", id="a missing check"
        ),
        pytest.param(case(artifacts=(DEMO_WHEEL, file("x"))), "artifacts", id="an extra file"),
        pytest.param(case(artifacts=()), "artifacts", id="no file"),
        pytest.param(case(artifacts=Unobserved("none were given")), "artifacts", id="no folder"),
        pytest.param(
            case(artifacts=(file("demo.whl", Kind.WHEEL, "demo", "1.2.3", problems=("../x",)),)),
            "archive",
            id="an unsafe archive",
        ),
        pytest.param(
            case(artifacts=(file("demo.whl", Kind.WHEEL, "demo", "1.2.4"),)), "metadata", id="another version inside"
        ),
        pytest.param(case(objections=(Objection("demo", "demo.whl", "big", "small"),)), "limits", id="too large"),
    ],
)
def test_a_blocked_gate_writes_nothing(given: Case, gate: str) -> None:
    error = refusal(given)
    assert error.code == "release-refused"
    assert f"by gate {gate}:" in error.message


def test_the_error_counts_what_else_blocks() -> None:
    error = refusal(case(source=source(branches=(), versions=(entry("V", "1.2.2"),))))
    assert error.message == (
        "v1.2.3 is refused by gate branch: no branch for stable versions contains the tagged commit and 1 more"
    )
    assert (error.object, error.found) == ("v1.2.3", f"{COMMIT[:12]} is on no branch")


@pytest.mark.parametrize("name", BEFORE_DRAFT)
def test_a_gate_that_was_not_asked_did_not_pass(name: str) -> None:
    rows = tuple(row for row in settle(case()) if row.name != name)
    assert refusal(case(), rows).code == "release-refused"


def test_the_gates_before_the_draft_are_all_but_the_last_three() -> None:
    assert (*BEFORE_DRAFT, "freeze", "approval", "world") == tuple(gate.__name__ for gate in RULES)


def test_what_the_registries_show_does_not_hold_up_a_draft() -> None:
    given = case(world=World(shelves={"demo": shelf(1, files={"x": Presence.DIFFERENT})}))
    assert [r.status for r in settle(given) if r.name == "world"] == [Status.FAIL]
    assert assemble(given).publications == assemble(case()).publications


@pytest.mark.parametrize("name", ["release.json", "SHA256SUMS", "approval-5-approve-0123456789ab.json", "approval-x"])
def test_an_artifact_cannot_take_the_place_of_a_record(name: str) -> None:
    text = '[artifacts.all]\nfiles = "*"\n'
    error = refusal(case(text=text, artifacts=(file(name),)))
    assert (error.code, error.object) == ("artifact-name-reserved", name)


@pytest.mark.parametrize("name", ["release.json.txt", "my-approval-1.json", "sha256sums.asc"])
def test_names_that_only_look_alike_are_free(name: str) -> None:
    text = '[artifacts.all]\nfiles = "*"\n'
    (artifact,) = assemble(case(text=text, artifacts=(file(name),))).artifacts
    assert (artifact.name, artifact.group) == (name, "all")
