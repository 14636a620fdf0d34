"""A look at a release as a document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from releaser.engine.report import Records, problem, report
from releaser.errors import ExternalError
from releaser.model.facts import Freeze, Listing
from releaser.model.status import ChannelRow, Shown, StatusReport
from tests.engine.scene import CRATE, LINUX, MAC, POLICY, TAP, Scene, content
from tests.world import EPOCH, World, unreachable


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A release that is drafted and approved."""
    return Scene(tmp_path).approved()


def shown(scene: Scene) -> StatusReport:
    view = scene.look()
    return report(view, view.state)


def channel(document: StatusReport, name: str) -> ChannelRow:
    return next(r for r in (*document.publications, *document.downstream) if r.id == name)


def wheels(world: World) -> None:
    for name in (MAC, LINUX):
        world.pypi.plant("coglet", "1.2.0", name, content(name))


def lagging(world: World) -> None:
    wheels(world)
    world.pypi.index_lag = 60


def undigested(world: World) -> None:
    wheels(world)
    world.pypi.digests = False


def elsewhere(world: World, seen: Listing | ExternalError) -> None:
    """The registry has our bytes, and the consumer's index does not say so."""
    wheels(world)
    world.pypi.index = seen


@pytest.mark.parametrize(
    ("change", "state", "detail"),
    [
        pytest.param(lambda _: None, Shown.ABSENT, "", id="nothing yet"),
        pytest.param(
            lambda w: w.pypi.plant("coglet", "1.2.0", MAC, content(MAC)), Shown.PARTIAL, "1 of 2 files", id="a part"
        ),
        pytest.param(lagging, Shown.RECORDED, "not in the consumer's index yet", id="recorded"),
        pytest.param(
            lambda w: elsewhere(w, unreachable("the index")),
            Shown.UNKNOWN,
            "recorded; the index does not answer (no answer)",
            id="recorded, and the index cannot be read",
        ),
        pytest.param(
            lambda w: elsewhere(w, Listing(True, {MAC: "sha256:" + "0" * 64})),
            Shown.CONFLICT,
            f"other bytes: {MAC}",
            id="other bytes in the index",
        ),
        pytest.param(wheels, Shown.VISIBLE, "2 files, same digest", id="visible"),
        pytest.param(
            lambda w: w.pypi.plant("coglet", "1.2.0", MAC, b"other"), Shown.CONFLICT, f"other bytes: {MAC}", id="other"
        ),
        pytest.param(
            lambda w: w.pypi.plant("coglet", "1.2.0", "extra.whl", b""),
            Shown.CONFLICT,
            "not ours: extra.whl",
            id="extra",
        ),
        pytest.param(undigested, Shown.UNKNOWN, "listed without a digest", id="without a digest"),
        pytest.param(
            lambda w: setattr(w.pypi, "down", True), Shown.UNKNOWN, "pypi does not answer (no answer)", id="no answer"
        ),
    ],
)
def test_a_publication_is_what_its_registry_shows(
    scene: Scene, change: Callable[[World], object], state: Shown, detail: str
) -> None:
    change(scene.world)
    row = channel(shown(scene), "coglet-pypi")
    assert (row.target, row.item) == ("pypi", "coglet 1.2.0")
    assert (row.shown, row.detail) == (state, detail)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        pytest.param(lambda _: None, Shown.ABSENT, id="nothing yet"),
        pytest.param(lambda s: s.publish(), Shown.RECORDED, id="proposed"),
        pytest.param(
            lambda s: s.world.tap(TAP).branches["main"].update({"homebrew.rb": b"9.0.0 x"}), Shown.VISIBLE, id="ahead"
        ),
        pytest.param(
            lambda s: (
                s.world.tap(TAP).branches["main"].update({"homebrew.rb": f"1.2.0 {s.manifest.digest()}".encode()})
            ),
            Shown.VISIBLE,
            id="merged",
        ),
        pytest.param(lambda s: setattr(s.world.casks, "down", True), Shown.UNKNOWN, id="no answer"),
    ],
)
def test_a_package_manager_is_what_its_tap_shows(scene: Scene, change: Callable[[Scene], object], state: Shown) -> None:
    change(scene)
    row = channel(shown(scene), "homebrew")
    assert (row.target, row.item, row.shown) == ("homebrew-cask", TAP, state)


def test_the_document_names_the_release_and_the_next_command(scene: Scene) -> None:
    document = shown(scene)
    assert (document.repository, document.tag, document.version) == ("harbor/cog", "v1.2.0", "1.2.0")
    assert (document.state, document.next) == ("approved", "releaser publish v1.2.0")
    assert document.remark == "in the publish job"
    assert (document.manifest, document.draft) == (scene.manifest.digest(), True)
    assert [p.id for p in document.publications] == [p.id for p in scene.manifest.publications]
    assert {g.name for g in document.gates} >= {"tag", "checks", "approval", "world"}


def test_what_waits_for_approval_says_which_digest_to_approve(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.drafted()
    assert shown(scene).next == f"releaser approve v1.2.0 --digest {scene.manifest.digest()}"


@pytest.mark.parametrize(
    ("public", "command"),
    [
        pytest.param(False, "gh release delete v1.2.0 --yes", id="a draft"),
        pytest.param(True, "releaser publish v1.2.0", id="a public release, which nobody can draft again"),
    ],
)
def test_what_voids_a_release_leaves_another_way_on_before_it_is_public(
    scene: Scene, public: bool, command: str
) -> None:
    if public:
        scene.world.forge.undraft(scene.release.id)
    scene.world.policy(POLICY + "# edited\n")
    document = shown(scene)
    assert (document.state, document.next) == ("voided", command)


def test_bytes_that_are_not_ours_on_the_release_are_not_said_to_be_published(scene: Scene) -> None:
    scene.world.forge.tamper(scene.release.id, CRATE, b"other")
    result = scene.publish()
    document = report(result.view, result.state, result.problems)
    assert document.state == "needs human"
    assert document.next == "releaser ledger show v1.2.0"
    assert document.remark.startswith("find out what happened first")


def test_the_next_command_names_the_ledger_that_was_given(scene: Scene) -> None:
    view = scene.look()
    document = report(view, view.state, (), Records("a.jsonl", 0, " --ledger a.jsonl"))
    assert document.next == "releaser publish v1.2.0 --ledger a.jsonl"
    assert (document.ledger, document.records) == ("a.jsonl", 0)


@pytest.mark.parametrize(("tag", "command"), [("", "releaser thaw"), ("v1.2.0", "releaser thaw v1.2.0")])
def test_what_is_frozen_says_what_to_thaw(scene: Scene, tag: str, command: str) -> None:
    scene.world.forge.freezes.append(Freeze(tag, "wait", "maintainer-0", EPOCH))
    document = shown(scene)
    assert (document.state, document.next) == ("frozen", command)


def test_what_is_only_proposed_is_said_to_be_merged_still(scene: Scene) -> None:
    result = scene.publish()
    document = report(result.view, result.state, result.problems)
    assert (document.state, document.next) == ("released", "")
    assert document.remark == "merge what is proposed; every other channel shows the approved bytes"


def test_a_document_is_read_back_as_it_was_written(scene: Scene) -> None:
    scene.world.crates.refused = {"coglet"}
    result = scene.publish()
    document = report(result.view, result.state, result.problems)
    assert StatusReport.parse(document.canonical(), "status") == document
    assert [(p.code, p.found) for p in document.problems] == [("registry-refused", "400 not on this registry")]
    assert channel(document, "coglet-crate").shown is Shown.ABSENT


def test_a_problem_keeps_all_words_of_its_error() -> None:
    error = ExternalError("code", "message", object=CRATE, found="this", wanted="that", hint="do")
    row = problem(error)
    assert (row.code, row.message, row.object, row.found, row.wanted, row.hint) == (
        "code",
        "message",
        CRATE,
        "this",
        "that",
        "do",
    )
