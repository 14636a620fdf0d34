"""A public release that lost a file or has other bytes: shown whole, sent nowhere, and mended as its hints say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from releaser.errors import Exit
from releaser.model.document import sha256
from tests.faces.stage import Ran, Stage, succeed

SDIST = "tern-0.9.0.tar.gz"
MISLEADING = ("delete the draft", "draft again", "releaser draft", "releaser assemble")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A public release, which every test leaves mended."""
    with Stage(tmp_path_factory.mktemp("released")) as stage:
        succeed(stage.draft().approve().publish())
        yield stage


def lose(stage: Stage, name: str) -> None:
    with stage.forge() as forge:
        (release,) = forge.releases(stage.tag)
        forge.remove(next(a for a in release.assets if a.name == name))


def swap(stage: Stage, name: str) -> None:
    stage.swap(name, b"other")


def add(stage: Stage, name: str) -> None:
    stage.swap(name, b"more")


def mend(stage: Stage, hint: str) -> None:
    """Do what *hint* says with the files of the build, as `gh` does it: a name is taken only with ``--clobber``."""
    command = re.search(r"gh release (upload|delete-asset) (\S+) ([^\s;]+)( --clobber)?;", hint)
    assert command is not None, hint
    verb, tag, name, clobber = command.groups()
    assert tag == stage.tag
    with stage.forge() as forge:
        (release,) = forge.releases(tag)
        there = [a for a in release.assets if a.name == name]
        for asset in there if clobber or verb == "delete-asset" else []:
            forge.remove(asset)
        if verb == "upload":
            forge.upload(release, name, stage.dist / name, lambda _: None)


def assert_refused(stage: Stage, name: str, found: str, wanted: str) -> str:
    """`publish` changes nothing and says what, found, wanted and how to mend it; the hint."""
    before = stage.effects()
    ran = stage.publish()
    assert (ran.code, stage.effects()) == (Exit.CONFLICT, before), ran.said
    said = ran.err[ran.err.index("error:") :]
    for part in (f"object {name}", f"found  {found}", f"wanted {wanted}"):
        assert part in said
    return said[said.index("hint:") :]


def assert_honest(*runs: Ran) -> None:
    for ran in runs:
        assert not [words for words in MISLEADING if words in ran.said], ran.said


@pytest.mark.parametrize(
    ("change", "name", "found"),
    [
        pytest.param(lose, SDIST, "no such file", id="a file is lost"),
        pytest.param(lose, "SHA256SUMS", "no such file", id="the checksums are lost"),
        pytest.param(swap, SDIST, sha256(b"other"), id="other bytes are there"),
        pytest.param(add, "more.sh", "more.sh", id="a file is added"),
    ],
)
def test_a_damaged_release_is_shown_whole_and_can_be_mended(
    released: Stage, change: Callable[[Stage, str], None], name: str, found: str
) -> None:
    whole = released.status()
    change(released, name)
    file = released.dist / name
    wanted = sha256(file.read_bytes()) if file.exists() else "only what release.json lists"

    text, ran = released.run("status", released.tag), released.run("status", released.tag, "--format", "json")
    report: Any = ran.json()
    assert (text.code, ran.code, report["state"]) == (Exit.CONFLICT, Exit.CONFLICT, "needs human")
    assert (report["publications"], report["downstream"]) == (whole["publications"], whole["downstream"])
    (damage,) = (row for row in report["gates"] if row["status"] == "fail")
    assert (damage["name"], damage["object"]) == ("world", name)
    assert (damage["found"], damage["wanted"]) == (found, wanted)
    assert [row for row in report["gates"] if row["status"] != "fail"] == whole["gates"]
    assert text.out.count(f"the public release {'holds' if change is add else 'does not hold'} {name}") == 1
    assert found in text.out

    assert damage["hint"] in assert_refused(released, name, found, wanted)
    assert_honest(text, ran)
    mend(released, damage["hint"])
    assert released.status() == whole
    before = released.effects()
    succeed(released.publish())
    assert released.effects() == before


def test_damage_halfway_holds_the_rest_back_until_it_is_mended(approved: Stage) -> None:
    approved.world.pypi.archived.add("ternlet")
    assert approved.publish("--poll", "0.01").code == Exit.OUTSIDE
    approved.world.pypi.archived.clear()
    swap(approved, SDIST)
    assert approved.status()["state"] == "needs human"
    hint = assert_refused(approved, SDIST, sha256(b"other"), sha256((approved.dist / SDIST).read_bytes()))
    mend(approved, hint)
    succeed(approved.publish())
    assert approved.status()["state"] == "released"


def scribble(stage: Stage, name: str) -> None:
    stage.swap(name, b'{"schema":"releaser.release/v1"}')


@pytest.mark.parametrize("change", [lose, swap, scribble], ids=["lost", "no document", "not a manifest"])
def test_without_its_manifest_there_is_only_the_way_to_mend_it(
    released: Stage, change: Callable[[Stage, str], None]
) -> None:
    whole = released.status()
    change(released, "release.json")
    before = released.effects()
    asked = [released.run("status", released.tag, "--format", form) for form in ("text", "json")]
    for ran in (*asked, released.publish()):
        assert (ran.code, ran.out) == (Exit.CONFLICT, "")
        assert "[release-damaged]" in ran.err
        assert_honest(ran)
    assert released.effects() == before
    mend(released, asked[0].err)
    assert {**released.status(), "assembled_by": ""} == {**whole, "assembled_by": ""}


@pytest.mark.parametrize("name", [SDIST, "release.json"])
def test_drafting_a_damaged_release_sends_people_to_what_helps(released: Stage, name: str) -> None:
    lose(released, name)
    before = released.effects()
    ran = released.run("draft", released.tag, "--artifacts", str(released.dist))
    assert (ran.code, released.effects()) == (Exit.REFUSED, before)
    assert "[release-public]" in ran.err
    assert f"hint: releaser status {released.tag} says what it lost" in ran.err
    assert_honest(ran)
    with released.forge() as forge:
        (release,) = forge.releases(released.tag)
        forge.upload(release, name, released.dist / name, lambda _: None)
    assert released.status()["state"] == "released"
