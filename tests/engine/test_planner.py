"""Facts in, plan out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.planner import case_for, delivery_action, plan, version_of
from releaser.model.facts import CheckState, Delivery, DeliveryState, Facts, Presence, Shelf, Unobserved, World
from releaser.model.manifest import PlannedDelivery
from releaser.model.plan import Action, Plan, Status, Verdict
from releaser.model.terms import Pace
from releaser.policy.case import Case
from tests.cases import (
    COMMIT,
    DEMO_WHEEL,
    FULL,
    REGISTRIES,
    REPOSITORY,
    SIMPLE,
    case,
    entry,
    full_files,
    manifest,
    policy,
    policy_ref,
    shelf,
    source,
    tag_object,
    with_world,
)

GOLDEN = Path(__file__).with_name("golden")
GREEN = World(tag=tag_object(), checks={"ci": CheckState.SUCCESS})
WHEEL = DEMO_WHEEL.artifact.name
BREW = PlannedDelivery(id="brew", kind="homebrew-cask", repository="acme/tap", via="pull-request", needs=("a", "b"))


def made(given: Case, text: str = SIMPLE) -> Plan:
    return plan(given, REPOSITORY, policy_ref(text).digest)


def release() -> Case:
    """A whole release: the core is on one registry already, the tap has nothing yet."""
    given = case(
        text=FULL,
        source=source(versions=(entry("Cargo.toml", "1.2.3"),)),
        artifacts=full_files(),
        world=GREEN,
    )
    shelves: dict[str, Shelf | Unobserved] = {
        p.id: shelf(
            len(p.files) if p.id == "core-pypi" else 0,
            files=dict.fromkeys(p.files, Presence.SAME if p.id == "core-pypi" else Presence.ABSENT),
        )
        for p in given.publications
    }
    brew = {"brew": Delivery(DeliveryState.ABSENT, "Casks/demo.rb on main")}
    return with_world(given, shelves=shelves, deliveries=brew)


def candidate_on_main() -> Case:
    return case("v1.2.3-rc.1", FULL, artifacts=full_files("1.2.3-rc.1", "1.2.3rc1"))


# The verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        pytest.param(release(), Verdict.READY, id="everything in order"),
        pytest.param(case(), Verdict.READY, id="nothing asked of the outside"),
        pytest.param(case(artifacts=Unobserved("none given")), Verdict.READY, id="before the build"),
        pytest.param(with_world(release(), checks={}), Verdict.WAITING, id="a check has not reported"),
        pytest.param(with_world(release(), tag=None), Verdict.REFUSED, id="the forge lacks the tag"),
        pytest.param(case(source=source(branches=("x",))), Verdict.REFUSED, id="on another branch"),
        pytest.param(candidate_on_main(), Verdict.REFUSED, id="prerelease on main"),
        pytest.param(case("nonsense"), Verdict.REFUSED, id="no version in the tag"),
        pytest.param(case(source=None), Verdict.REFUSED, id="no such tag"),
        pytest.param(case(artifacts=()), Verdict.REFUSED, id="no artifact"),
        pytest.param(
            case(world=World(shelves={"demo": Unobserved("503", failed=True)})),
            Verdict.WAITING,
            id="a registry is down",
        ),
        pytest.param(case(text="", artifacts=()), Verdict.READY, id="a tag and nothing else"),
    ],
)
def test_the_verdict(given: Case, verdict: Verdict) -> None:
    assert made(given).verdict is verdict


# What would be done


@pytest.mark.parametrize(
    ("seen", "action", "file_action"),
    [
        pytest.param(Unobserved("--offline"), Action.PUBLISH, Action.PUBLISH, id="not asked"),
        pytest.param(Unobserved("503", failed=True), Action.WAIT, Action.PUBLISH, id="asked in vain"),
        pytest.param(shelf(files={WHEEL: Presence.ABSENT}), Action.PUBLISH, Action.PUBLISH, id="free"),
        pytest.param(shelf(1, files={WHEEL: Presence.SAME}), Action.SKIP, Action.SKIP, id="there already"),
        pytest.param(shelf(1, files={WHEEL: Presence.DIFFERENT}), Action.CONFLICT, Action.CONFLICT, id="other bytes"),
        pytest.param(shelf(1, files={WHEEL: Presence.UNKNOWN}), Action.WAIT, Action.WAIT, id="no digest"),
    ],
)
def test_one_publication(seen: Shelf | Unobserved, action: Action, file_action: Action) -> None:
    (row,) = made(case(world=World(shelves={"demo": seen}))).publications
    assert (row.id, row.registry, row.package, row.version, row.wave) == ("demo", "pypi", "demo", "1.2.3", 1)
    assert row.action is action
    assert row.reason
    (file,) = row.files
    assert (file.name, file.size, file.sha256) == (WHEEL, DEMO_WHEEL.artifact.size, DEMO_WHEEL.artifact.sha256)
    assert file.action is file_action


def test_before_the_build_the_order_is_known_and_the_files_are_not() -> None:
    rows = made(case(text=FULL, artifacts=Unobserved("none given"))).publications
    assert [(r.id, r.wave, r.needs, r.files) for r in rows] == [
        ("core-crate", 1, (), ()),
        ("core-pypi", 1, (), ()),
        ("sdk", 2, ("core-pypi",), ()),
    ]


@pytest.mark.parametrize(
    ("seen", "action", "reason"),
    [
        pytest.param(Unobserved("--offline"), Action.PUBLISH, "once a, b is public", id="not asked"),
        pytest.param(Unobserved("404", failed=True), Action.WAIT, "404", id="asked in vain"),
        pytest.param(Delivery(DeliveryState.ABSENT), Action.PUBLISH, "pull request to acme/tap", id="to be delivered"),
        pytest.param(Delivery(DeliveryState.SAME), Action.SKIP, "already has it", id="delivered"),
        pytest.param(Delivery(DeliveryState.PROPOSED, "#7"), Action.SKIP, "proposed: #7", id="proposed"),
        pytest.param(Delivery(DeliveryState.NEWER, "2.0.0"), Action.SKIP, "ahead: 2.0.0", id="a newer one is there"),
    ],
)
def test_one_delivery(seen: Delivery | Unobserved, action: Action, reason: str) -> None:
    found, words = delivery_action(BREW, seen)
    assert found is action
    assert reason in words


def test_dev_versions_go_nowhere() -> None:
    found = made(case("v1.2.3-dev.1", FULL))
    assert (found.channel, found.publications, found.downstream) == ("dev", (), ())


def test_prereleases_are_not_delivered() -> None:
    assert made(case("v1.2.3-rc.1", FULL)).downstream == ()


def test_the_manifest_outranks_what_the_policy_would_schedule_now() -> None:
    approved = manifest()
    other = SIMPLE.replace("[publish.demo]", "[publish.renamed]")
    facts = Facts(source(), Unobserved("verified when the draft was assembled"))
    found = made(case_for(policy(other), "v1.2.3", facts, REGISTRIES, approved))
    assert found.manifest == approved.digest()
    assert [p.id for p in found.publications] == ["demo"]
    assert [f.sha256 for f in found.publications[0].files] == [DEMO_WHEEL.artifact.sha256]


# The version


@pytest.mark.parametrize(
    ("tag", "spelled"),
    [
        ("v1.2.3", ("1.2.3", "1.2.3", "1.2.3", "1.2.3")),
        ("v1.2.3-alpha3", ("1.2.3-alpha3", "1.2.3a3", "1.2.3-alpha3", "1.2.3-alpha3")),
        ("v1.2.3-1", ("1.2.3-1", None, "1.2.3-1", "1.2.3-1")),
        ("v1.2.3+b", ("1.2.3+b", None, None, None)),
    ],
)
def test_how_each_ecosystem_spells_it(tag: str, spelled: tuple[str | None, ...]) -> None:
    version = made(case(tag)).version
    assert version is not None
    assert (version.semver, version.pep440, version.cargo, version.npm) == spelled


@pytest.mark.parametrize(
    "tag",
    ["", "1.2.3", "v1.2", "v01.2.3", "v1.2.3;id", "-v1.2.3", "v1.2.3\n", "v\uff11.2.3", "v1.2.3-" + "a" * 60],
)
def test_what_names_no_version(tag: str) -> None:
    assert version_of(policy(SIMPLE), tag) is None
    found = made(case(tag, source=None))
    assert (found.version, found.channel, found.verdict) == (None, None, Verdict.REFUSED)


@pytest.mark.parametrize("tag", ["v1.2.3\u202e", "v1.2.3\udcff", "v1.2.3\x1b[2J", "v1.2.3`id`"])
def test_a_plan_for_any_tag_can_be_written_down(tag: str) -> None:
    written = made(case(tag, source=None)).canonical()
    assert written.isascii()
    assert Plan.parse(written, "plan.json").verdict is Verdict.REFUSED


# What rate limits make of it


def test_many_versions_at_a_registry_with_a_rate_limit_take_their_time() -> None:
    crates = "".join(f'[publish.part-{n}]\nregistry = "crates.io"\nfiles = "crates"\n' for n in range(64))
    text = f'[artifacts.crates]\nfiles = "*.crate"\n{crates}'
    limited = {**REGISTRIES, "crates.io": replace(REGISTRIES["crates.io"], pace=Pace(30, timedelta(minutes=1)))}
    given = case_for(policy(text), "v1.2.3", Facts(source(), ()), limited)
    (pace,) = made(given, text).paces
    assert (pace.registry, pace.versions, pace.least) == ("crates.io", 64, 34 * 60)


@pytest.mark.parametrize(("versions", "minutes"), [(0, 0), (1, 0), (30, 0), (31, 1), (64, 34)])
def test_the_time_that_a_rate_limit_takes(versions: int, minutes: int) -> None:
    assert Pace(30, timedelta(minutes=1)).least(versions) == timedelta(minutes=minutes)


# The document


def test_the_same_facts_give_the_same_plan() -> None:
    assert made(release(), FULL).canonical() == made(release(), FULL).canonical()


def test_the_order_of_the_files_does_not_change_what_is_published() -> None:
    given = release()
    turned = replace(given, facts=replace(given.facts, artifacts=full_files()[::-1]))
    again = case_for(turned.policy, turned.tag, turned.facts, REGISTRIES)
    assert made(again, FULL).publications == made(given, FULL).publications


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        pytest.param("ready.json", release(), FULL, id="everything in order"),
        pytest.param("refused.json", candidate_on_main(), FULL, id="prerelease on main"),
    ],
)
def test_the_golden_plans(name: str, given: Case, text: str) -> None:
    found = made(given, text)
    golden = json.loads((GOLDEN / name).read_text())
    assert found.model_dump(mode="json") == golden
    assert Plan.parse(found.canonical(), name) == found


def test_the_keys_that_programs_rely_on() -> None:
    found = json.loads(made(release(), FULL).canonical())
    assert found["schema"] == "releaser.plan/v1"
    assert (found["tag"], found["commit"], found["channel"], found["verdict"]) == ("v1.2.3", COMMIT, "stable", "ready")
    assert set(found["version"]) >= {"semver", "pep440"}
    assert all({"name", "object", "status", "reason"} <= set(row) for row in found["gates"])
    assert {row["status"] for row in found["gates"]} <= {str(status) for status in Status}
    wanted = {"id", "registry", "package", "version", "needs", "wave", "action", "reason", "files"}
    assert all(wanted <= set(row) for row in found["publications"])
    assert all({"name", "sha256", "size"} <= set(file) for row in found["publications"] for file in row["files"])
    assert all({"id", "kind", "action", "reason"} <= set(row) for row in found["downstream"])


def hold(schema: dict[str, Any], value: Any, definitions: dict[str, Any]) -> None:
    """Hold *value* to the part of JSON Schema that the plan's schema uses."""
    if "$ref" in schema:
        hold(definitions[schema["$ref"].removeprefix("#/$defs/")], value, definitions)
    elif "anyOf" in schema:
        kinds = {"null": value is None, "string": isinstance(value, str)}
        fitting = [s for s in schema["anyOf"] if kinds.get(s.get("type", ""), "$ref" in s or "enum" in s)]
        assert fitting, (schema, value)
        if value is not None:
            hold(fitting[0], value, definitions)
    elif schema.get("type") == "object":
        assert set(schema.get("required", ())) <= set(value)
        assert set(value) <= set(schema["properties"])
        for key, part in value.items():
            hold(schema["properties"][key], part, definitions)
    elif schema.get("type") == "array":
        for part in value:
            hold(schema["items"], part, definitions)
    else:
        assert isinstance(value, {"string": str, "integer": int, "boolean": bool}[schema["type"]])
        assert value in schema.get("enum", [value])
        assert value == schema.get("const", value)


@pytest.mark.parametrize(
    "given", [release(), candidate_on_main(), case("v1.2.3;id", source=None)], ids=["ready", "refused", "no version"]
)
def test_a_plan_meets_its_published_schema(given: Case) -> None:
    schema = Plan.model_json_schema()
    hold(schema, json.loads(made(given).canonical()), schema["$defs"])
    assert set(schema["required"]) >= {"repository", "tag", "commit", "verdict", "gates"}
