"""A release by the command line, from tag to install: the straight way, the repeated way, and through faults."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from releaser.errors import Exit
from releaser.rehearsal.gitrepo import BareRepository
from releaser.rehearsal.gitrepo import Person as Author
from releaser.rehearsal.sample import REPOSITORY, TAP
from releaser.rehearsal.server import Fault
from tests.faces.stage import Ran, Stage, succeed

FILES = {"pypi.upload": 5, "crates.publish": 1, "npm.publish": 1}
"""How many files each registry is sent in a whole release."""
POLICY_FILE = ".github/releaser.toml"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stable release that went out without a hitch."""
    with Stage(tmp_path_factory.mktemp("released")) as stage:
        stage.draft().approve()
        succeed(stage.publish())
        yield stage


def uploads(stage: Stage) -> dict[str, int]:
    return {operation: stage.effects_of(operation) for operation in FILES}


def shown(report: Any) -> dict[str, str]:
    return {row["id"]: row["shown"] for row in (*report["publications"], *report["downstream"])}


def tap(stage: Stage) -> BareRepository:
    return stage.world.github.repository(TAP).git


ALL_VISIBLE = {
    "client": "visible",
    "ternlet-crate": "visible",
    "ternlet-pypi": "visible",
    "sdk": "visible",
    "chocolatey": "visible",
    "homebrew": "visible",
    "scoop": "visible",
}
MANAGERS = ("chocolatey", "homebrew", "scoop")


# -- the straight way ---------------------------------------------------------------------------------------------


def test_a_stable_release_is_on_every_channel_with_the_approved_bytes(released: Stage) -> None:
    report = released.status()
    assert (report["state"], report["draft"]) == ("released", False)
    assert shown(report) == ALL_VISIBLE
    assert uploads(released) == FILES
    with released.forge() as forge:
        (release,) = forge.releases(released.tag)
        assert not release.prerelease
        held = {a.name: a.digest for a in release.assets if not a.name.startswith("approval-")}
    sums = dict(line.split("  ")[::-1] for line in (released.dist / "SHA256SUMS").read_text().splitlines())
    assert {name: digest.removeprefix("sha256:") for name, digest in held.items() if name != "SHA256SUMS"} == sums


def test_the_tap_gets_the_release_after_everything_it_needs(released: Stage) -> None:
    operations = [call.operation for call in released.effects()]
    assert operations.index("github.update-release") < operations.index("pypi.upload")
    last_upload = max(i for i, o in enumerate(operations) if o in FILES)
    assert max(i for i, o in enumerate(operations) if o == "github.update-ref") > last_upload
    entry = tap(released).entry("main", "Casks/tern.rb")
    assert entry is not None
    assert b'version "0.9.0"' in tap(released).blob(entry.sha)


def test_publishing_a_finished_release_again_writes_nothing(released: Stage) -> None:
    before = released.effects()
    again = succeed(released.publish("--format", "json"))
    assert again.json()["state"] == "released"
    elsewhere = succeed(released.run("publish", released.tag, "--ledger", str(released.home / "new.jsonl")))
    assert "RELEASED" in elsewhere.out
    assert released.effects() == before


def test_drafting_a_finished_release_again_writes_nothing(released: Stage) -> None:
    before = released.effects()
    assert "public " in succeed(released.run("draft", released.tag, "--artifacts", str(released.dist))).out
    assert released.effects() == before


def test_planning_a_finished_release_finds_nothing_to_do(released: Stage) -> None:
    plan = released.plan("--format", "json").json()
    assert {p["action"] for p in plan["publications"]} == {"skip"}
    assert plan["verdict"] == "ready"


def test_the_ledger_tells_every_effect_with_its_end(released: Stage) -> None:
    records = [json.loads(line) for line in released.ledger.read_text().splitlines()]
    meant = {r["body"]["effect"] for r in records if r["kind"] == "intent"}
    ended = {r["body"]["effect"] for r in records if r["kind"] == "outcome" and r["body"]["result"] == "done"}
    assert meant == ended
    assert len(meant) == 1 + sum(FILES.values()) + len(MANAGERS)  # the release itself, each file
    assert next(r["body"]["state"] for r in records if r["kind"] == "state") == "released"


def test_status_tells_the_state_and_the_next_command_on_the_way(stage: Stage) -> None:
    def look() -> tuple[int, str, str]:
        ran = stage.run("status", stage.tag, "--format", "json")
        report = ran.json()
        return ran.code, report["state"], report["next"]

    assert stage.run("status", stage.tag).code == Exit.REFUSED
    stage.draft()
    assert look() == (
        Exit.WAITING,
        "awaiting approval",
        f"releaser approve {stage.tag} --digest {stage.digest}",
    )
    stage.approve("reviewer-one")
    assert look()[1] == "awaiting approval"
    stage.approve("reviewer-two")
    assert look() == (Exit.WAITING, "approved", f"releaser publish {stage.tag}")
    succeed(stage.publish())
    assert look()[:2] == (Exit.DONE, "released")


def test_a_prerelease_goes_everywhere_but_to_the_package_managers(tmp_path: Path) -> None:
    with Stage(tmp_path, "1.0.0-rc.1") as stage:
        stage.draft().approve()
        succeed(stage.publish())
        report = stage.status()
        assert report["state"] == "released"
        assert shown(report) == {k: v for k, v in ALL_VISIBLE.items() if k not in MANAGERS}
        assert {row["id"]: row["item"] for row in report["publications"]}["sdk"] == "tern 1.0.0rc1"
        assert tap(stage).entry("main", "Casks/tern.rb") is None
        with stage.forge() as forge:
            (release,) = forge.releases(stage.tag)
        assert release.prerelease


def test_a_dev_release_is_public_at_once_and_on_no_registry(tmp_path: Path) -> None:
    with Stage(tmp_path, "1.0.0-dev.3") as stage:
        stage.draft()
        assert stage.status()["state"] == "released"
        before = stage.effects()
        succeed(stage.publish())
        assert stage.effects() == before
        assert uploads(stage) == dict.fromkeys(FILES, 0)
        with stage.forge() as forge:
            (release,) = forge.releases(stage.tag)
        assert not release.draft
        assert release.prerelease


def test_a_rejection_before_the_quorum_is_final(drafted: Stage) -> None:
    drafted.approve("reviewer-one")
    succeed(drafted.run("reject", drafted.tag, "--digest", drafted.digest, "--note", "no", by="reviewer-two"))
    ran = drafted.run("status", drafted.tag)
    assert ran.code == Exit.REFUSED
    assert "REJECTED" in ran.out


def test_deciding_twice_changes_nothing(drafted: Stage) -> None:
    drafted.approve("reviewer-one")
    before = drafted.effects()
    again = succeed(drafted.run("approve", drafted.tag, "--digest", drafted.digest, by="reviewer-one"))
    assert "already recorded" in again.out
    assert "1/2 approvals" in again.out
    assert drafted.effects() == before


# -- approval by making the draft public --------------------------------------------------------------------------


def event(stage: Stage, login: str, id: int, kind: str = "User", action: str = "published") -> dict[str, str]:
    """*login* makes the draft public on the forge's page; the environment of the job that this starts."""
    with stage.forge() as forge:
        (release,) = forge.releases(stage.tag)
        forge.publish(release, latest=True)
    file = stage.home / "event.json"
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    body = {
        "action": action,
        "sender": {"id": id, "login": login, "type": kind},
        "release": {"id": release.id, "tag_name": release.tag, "published_at": at},
    }
    file.write_text(json.dumps(body))
    return {"GITHUB_EVENT_NAME": "release", "GITHUB_EVENT_PATH": str(file)}


@pytest.fixture
def lone(stage: Stage) -> Stage:
    """A draft that one approver is enough for."""
    stage.commit({POLICY_FILE: stage.text(POLICY_FILE).replace("quorum = 2", "quorum = 1")})
    return stage.draft()


def test_an_approver_who_publishes_the_draft_approved_it(lone: Stage) -> None:
    ran = lone.publish(**event(lone, "reviewer-one", 502))
    assert ran.code == Exit.DONE, ran.said
    assert shown(lone.status()) == ALL_VISIBLE


@pytest.mark.parametrize(
    ("login", "id", "kind", "why"),
    [
        pytest.param("tagger", 501, "User", "tagger tagged this release", id="the tagger"),
        pytest.param("github-actions[bot]", 41898282, "Bot", "github-actions[bot] is not a person", id="the job"),
        pytest.param("tap-bot", 599, "User", "tap-bot is not an approver", id="somebody outside the team"),
        pytest.param("reviewer-one", 777, "User", "could not be looked up: reviewer-one", id="another's number"),
    ],
)
def test_publishing_the_draft_is_no_approval_by(lone: Stage, login: str, id: int, kind: str, why: str) -> None:
    given = event(lone, login, id, kind)
    before = lone.effects()
    ran = lone.publish(**given)
    assert ran.code == Exit.WAITING, ran.said
    assert why in ran.err
    assert lone.effects() == before


def test_an_event_about_another_release_is_no_approval(lone: Stage) -> None:
    given = event(lone, "reviewer-one", 502)
    file = Path(given["GITHUB_EVENT_PATH"])
    body = json.loads(file.read_text())
    body["release"]["id"] += 1
    file.write_text(json.dumps(body))
    before = lone.effects()
    assert lone.publish(**given).code == Exit.WAITING
    assert lone.effects() == before


def test_an_edit_of_the_release_is_no_approval(lone: Stage) -> None:
    given = event(lone, "reviewer-one", 502, action="edited")
    before = lone.effects()
    assert lone.publish(**given).code == Exit.WAITING
    assert lone.effects() == before


# -- through faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("github.upload-asset", "drop"), id="an upload whose answer is lost"),
        pytest.param(Fault("github.upload-asset", "status", status=502), id="an upload that leaves a ghost"),
        pytest.param(Fault("github.create-release", "drop"), id="a creation whose answer is lost"),
    ],
)
def test_an_interrupted_draft_is_completed_by_the_next_run(stage: Stage, fault: Fault) -> None:
    succeed(stage.assemble())
    stage.world.faults.add(fault)
    command = ("draft", stage.tag, "--artifacts", str(stage.dist))
    first = stage.run(*command)
    assert first.code == Exit.OUTSIDE, first.said
    assert "run the same command again" in first.err
    succeed(stage.run(*command))
    with stage.forge() as forge:
        (release,) = forge.releases(stage.tag)
    assert all(a.complete for a in release.assets)
    assert len(release.assets) == len(list(stage.dist.iterdir()))
    assert stage.status()["state"] == "awaiting approval"


@pytest.mark.parametrize(("kind", "status"), [("drop", 0), ("lie", 500), ("lie", 503)])
def test_a_write_that_happened_is_never_repeated(approved: Stage, kind: str, status: int) -> None:
    for operation in FILES:
        approved.world.faults.add(Fault(operation, kind, status=status))
    ran = approved.publish()
    assert ran.code == Exit.DONE, ran.said
    assert shown(approved.status()) == ALL_VISIBLE
    assert uploads(approved) == FILES


def test_a_write_that_did_not_happen_is_repeated_once(approved: Stage) -> None:
    for operation in FILES:
        approved.world.faults.add(Fault(operation, "status", status=503))
    ran = approved.publish()
    assert ran.code == Exit.DONE, ran.said
    assert shown(approved.status()) == ALL_VISIBLE
    assert uploads(approved) == {operation: count + 1 for operation, count in FILES.items()}


def test_a_package_in_moderation_is_waited_for(approved: Stage) -> None:
    feed = approved.world.chocolatey
    feed.moderated = True
    for _ in range(2):
        assert approved.publish().code == Exit.WAITING
        report = approved.status()
        assert (report["state"], shown(report)) == ("publishing", {**ALL_VISIBLE, "chocolatey": "submitted"})
    feed.moderate("tern", "0.9.0", "Approved")
    succeed(approved.publish())
    assert (approved.status()["state"], approved.effects_of("chocolatey.push")) == ("released", 1)


def test_a_file_that_may_be_newer_is_left_for_people_to_look_at(approved: Stage) -> None:
    contents, git = b"cask 'tern'\n", tap(approved)
    tip = git.ref("refs/heads/main")
    assert tip is not None
    tree = git.write_tree(tip.sha, [("Casks/tern.rb", "100644", git.write_blob(contents))])
    who = Author("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")
    assert git.move("refs/heads/main", git.write_commit(tree, [tip.sha], "by hand", who, who), tip.sha)
    ran = approved.publish()
    assert (ran.code, "delivery-conflict" in ran.err) == (Exit.CONFLICT, True)
    assert shown(approved.status()) == {**ALL_VISIBLE, "homebrew": "conflict"}
    entry = git.entry("main", "Casks/tern.rb")
    assert entry is not None
    assert git.blob(entry.sha) == contents


@pytest.mark.parametrize("kind", ["drop", "lie"])
def test_a_publication_of_the_draft_without_an_answer_is_seen_anyway(approved: Stage, kind: str) -> None:
    approved.world.faults.add(Fault("github.update-release", kind, status=502))
    ran = approved.publish()
    assert ran.code == Exit.DONE, ran.said
    assert approved.effects_of("github.update-release") == 1


def test_a_refused_file_holds_back_what_needs_it_and_nothing_else(approved: Stage) -> None:
    approved.world.pypi.archived.add("ternlet")
    ran = approved.publish("--poll", "0.01")
    assert ran.code == Exit.OUTSIDE
    assert "registry-refused" in ran.err
    report = approved.status()
    assert shown(report) == {**dict.fromkeys(ALL_VISIBLE, "absent"), "client": "visible", "ternlet-crate": "visible"}
    assert "ternlet-pypi" in ran.out
    approved.world.pypi.archived.clear()
    approved.ledger.unlink()  # what the world shows is enough to go on
    succeed(approved.publish())
    assert shown(approved.status()) == ALL_VISIBLE
    assert approved.effects_of("crates.publish") == 1
    assert approved.effects_of("npm.publish") == 1


def test_an_index_that_lags_is_waited_for(approved: Stage) -> None:
    approved.world.lag(1.0)
    impatient = approved.publish("--wait", "0")
    assert impatient.code == Exit.WAITING
    assert "index-lags" in impatient.err
    assert uploads(approved)["pypi.upload"] == 3  # tern needs a ternlet that installers can see
    succeed(approved.publish("--wait", "20", "--settle", "20"))
    assert shown(approved.status()) == ALL_VISIBLE
    assert uploads(approved) == FILES


def test_plans_of_a_job_reach_its_page_and_its_outputs(stage: Stage) -> None:
    page, outputs = stage.home / "summary.md", stage.home / "outputs"
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(outputs)}
    succeed(stage.plan(**job))
    assert page.read_text().startswith(f"## {stage.tag}: ready\n")
    assert values(outputs) == {"verdict": "ready", "channel": "stable", "version": "0.9.0", "pep440": "0.9.0"}


def values(outputs: Path) -> dict[str, str]:
    """Step outputs, read as the runner does."""
    found, lines = {}, iter(outputs.read_text().splitlines())
    for line in lines:
        name, _, mark = line.partition("<<")
        body = []
        while (text := next(lines)) != mark:
            body.append(text)
        found[name] = "\n".join(body)
    return found


def test_assembling_twice_gives_the_same_bytes(stage: Stage) -> None:
    succeed(stage.assemble())
    first = {p.name: p.read_bytes() for p in stage.dist.iterdir()}
    succeed(stage.assemble())
    assert {p.name: p.read_bytes() for p in stage.dist.iterdir()} == first


def test_assembling_into_another_folder_leaves_the_artifacts_alone(stage: Stage) -> None:
    before = {p.name for p in stage.dist.iterdir()}
    out = stage.home / "out"
    succeed(stage.run("assemble", stage.tag, "--artifacts", str(stage.dist), "--out", str(out)))
    assert {p.name for p in stage.dist.iterdir()} == before
    assert {p.name for p in out.iterdir()} == {"release.json", "SHA256SUMS"}
    manifest = str(out / "release.json")
    succeed(stage.run("draft", stage.tag, "--artifacts", str(stage.dist), "--manifest", manifest))
    assert stage.status()["state"] == "awaiting approval"


def test_the_crate_that_is_downloadable_is_the_approved_one(released: Stage) -> None:
    crate = next(released.dist.glob("*.crate"))
    (stored,) = (
        p for p in released.world.crates.root.rglob("*") if p.is_file() and p.read_bytes() == crate.read_bytes()
    )
    with tarfile.open(stored) as archive:
        assert "ternlet-0.9.0/Cargo.toml" in archive.getnames()


def test_a_job_is_told_the_state_it_ended_with(approved: Stage) -> None:
    outputs = approved.home / "outputs"
    ran: Ran = approved.publish(GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(outputs))
    assert ran.code == Exit.DONE, ran.said
    head = json.loads(approved.ledger.read_text().splitlines()[-1])["hash"]
    assert values(outputs) == {"state": "released", "digest": approved.digest, "ledger": head}


def test_the_repository_is_the_one_the_job_names(approved: Stage) -> None:
    ran = approved.run("status", approved.tag, "--repository", "harbor/other")
    assert ran.code == Exit.OUTSIDE
    assert "harbor/other" in ran.err
    assert approved.run("status", approved.tag, "--repository", REPOSITORY).code == Exit.WAITING


def test_a_checkout_with_only_the_commit_of_an_annotated_tag_releases_the_tag_of_the_forge(tmp_path: Path) -> None:
    """actions/checkout stores the commit of the pushed tag under the tag's name."""
    with Stage(tmp_path) as stage:
        annotated = stage.git("rev-parse", f"refs/tags/{stage.tag}")
        commit = stage.git("rev-parse", "HEAD")
        stage.git("tag", "--force", stage.tag, commit)
        stage.draft()
        manifest = json.loads((stage.dist / "release.json").read_bytes())
        assert (manifest["tag"]["object"], manifest["tag"]["commit"]) == (annotated, commit)
        assert manifest["tag"]["tagger"].endswith("tagger@users.noreply.github.com")
        succeed(stage.approve().publish())


def test_a_rejection_of_a_public_release_says_that_it_is_late(released: Stage) -> None:
    late = succeed(released.run("reject", released.tag, "--digest", released.digest, by="reviewer-two"))
    assert "public already: what is out stays out" in late.out
