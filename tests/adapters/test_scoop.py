"""Scoop: the manifest that is rendered, and where in a bucket it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from releaser.adapters.delivery import Source
from releaser.adapters.scoop import Scoop, ScoopSettings
from releaser.engine.ports import Sent
from releaser.model.facts import DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.spelling import Ecosystem
from tests.adapters.taps import BASE, TAP, Taps, artifact, manifest, some, with_artifacts

GOLDEN = Path(__file__).parent / "golden"
ARCHIVES = {
    "windows-x86_64": "tool-{version}-x86_64-pc-windows-msvc.zip",
    "windows-x86": "tool-{version}-i686-pc-windows-msvc.zip",
    "windows-arm64": "tool-{version}-aarch64-pc-windows-msvc.zip",
}
PROGRAM = {"windows-x86_64": "tool_windows_amd64.exe"}
ABOUT = {"description": "Does one thing", "homepage": "https://tool.example.invalid/", "license": "MIT"}
RELEASE = manifest(ARCHIVES)


def app(assets: dict[str, str], release: Manifest | None = None, **more: Any) -> str:
    settings = ScoopSettings.model_validate({**ABOUT, "assets": assets, **more})
    return Scoop.render(settings, Source(Ecosystem.SCOOP, release or manifest(assets), BASE)).text


def entry(assets: dict[str, str] = ARCHIVES, via: str = "commit", **more: Any) -> PlannedDelivery:
    settings = {**ABOUT, "assets": assets, **more}
    data = {"id": "scoop", "kind": "scoop", "repository": TAP, "via": via, "needs": (), "settings": settings}
    return PlannedDelivery.model_validate(data)


@pytest.mark.parametrize(
    ("golden", "rendered"),
    [
        ("scoop-archives.json", lambda: app(ARCHIVES)),
        ("scoop-folder.json", lambda: app(ARCHIVES, folder="{stem}", binary="t", shortcut="The Tool")),
        ("scoop-program.json", lambda: app(PROGRAM, license="MIT OR Apache-2.0")),
        ("scoop-component.json", lambda: app(ARCHIVES, manifest(ARCHIVES, "1.2.3-rc.1", "tools/v{version}"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_renderings_are_as_agreed(golden: str, rendered: Any) -> None:
    assert rendered() == (GOLDEN / golden).read_text()


def test_every_file_has_its_address_and_its_digest() -> None:
    architecture = json.loads(app(ARCHIVES))["architecture"]
    digests = {a.name: a.sha256 for a in RELEASE.artifacts}
    shown = {where["url"].rpartition("/")[2]: where["hash"] for where in architecture.values()}
    assert (list(architecture), shown) == (["64bit", "32bit", "arm64"], digests)


@pytest.mark.parametrize(
    "text",
    ['"}, "pre_install": "x', "$version #{x} $(id) `id` \\", "ünïcode \u2028 \u202e", "</script> & ]]>"],
)
def test_no_text_gets_out_of_its_place(text: str) -> None:
    found = json.loads(app(ARCHIVES, description=text, shortcut=text))
    assert (found["description"], found["shortcuts"]) == (text, [["tool.exe", text]])
    assert set(found) == {*json.loads(app(ARCHIVES)), "shortcuts"}


@pytest.mark.parametrize("version", ["2.0.0", "10.20.30"], ids=["another", "a version of another length"])
def test_updates_find_what_the_next_release_would_have(version: str) -> None:
    """What Scoop's updater makes of a template is the address that we would write ourselves."""
    now, later = (json.loads(app(ARCHIVES, manifest(ARCHIVES, v), folder="{stem}")) for v in ("1.2.3", version))
    filled = json.loads(json.dumps(now["autoupdate"]["architecture"]).replace("$version", version))
    wanted = {bits: {k: v for k, v in where.items() if k != "hash"} for bits, where in later["architecture"].items()}
    assert filled == wanted
    assert now["autoupdate"] == later["autoupdate"]


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("tern-v1.0.0-w11.0.0.zip", "tern-v$version-w11.0.0.zip"),
        ("tern-v1.0.0-w2.1.0.0.zip", "tern-v$version-w2.1.0.0.zip"),
        ("tern-v1.0.0-w1.0.01.zip", "tern-v$version-w1.0.01.zip"),
        ("tern-1x0.0.zip", "tern-1x0.0.zip"),
        ("tern.1.0.0.zip", "tern.$version.zip"),
        ("1.0.0-tern-1.0.0.zip", "$version-tern-$version.zip"),
    ],
)
def test_a_version_inside_a_longer_number_is_another_number(name: str, template: str) -> None:
    made = json.loads(app({"windows-x86": name}, manifest({"windows-x86": name}, "1.0.0")))
    assert made["autoupdate"]["architecture"]["32bit"]["url"].rpartition("/")[2] == template


@pytest.mark.parametrize(
    ("version", "tag", "regex"),
    [
        pytest.param("1.0.0", "w11.0.0/v1.0.0", r"/releases/tag/w11\.0\.0/v([\w.-]+)", id="as a part, then itself"),
        pytest.param("1.0.0-rc.1", "v1.0.0rc1", None, id="otherwise"),
        pytest.param("1.0.0", "v11.0.0", None, id="as a part"),
    ],
)
def test_updates_need_a_tag_that_spells_the_version(version: str, tag: str, regex: str | None) -> None:
    made = json.loads(app(ARCHIVES, manifest(ARCHIVES, version, tag)))
    assert made.get("checkver", {}).get("regex") == regex
    assert ("checkver" in made, "autoupdate" in made) == (regex is not None,) * 2


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({"description": "a\nb"}, "description", id="two lines"),
        pytest.param({"homepage": "javascript:x"}, "homepage", id="no web address"),
        pytest.param({"license": 'MIT"'}, "license", id="a licence of other letters"),
        pytest.param({"binary": "../sh"}, "binary", id="a path"),
        pytest.param({"folder": "../up"}, "folder", id="a folder above"),
        pytest.param({"folder": "a/../b"}, "folder", id="a folder beside"),
        pytest.param({"folder": "/etc"}, "folder", id="a folder anywhere"),
        pytest.param({"assets": {}}, "assets", id="no platform"),
        pytest.param({"assets": {"macos-arm64": "x"}}, "assets", id="another platform"),
        pytest.param({"push": "https://x.example.invalid"}, "push", id="an unknown key"),
    ],
)
def test_settings_are_strict(change: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ScoopSettings.model_validate({**ABOUT, "assets": ARCHIVES, **change})
    assert {error["loc"][0] for error in caught.value.errors()} == {names}


@pytest.mark.parametrize(
    ("planned", "release", "words"),
    [
        pytest.param(entry(), RELEASE, (), id="none"),
        pytest.param(entry(item="Tool"), RELEASE, ("Tool", "set `item`"), id="a name in capitals"),
        pytest.param(
            entry({"windows-x86": "tool.msi"}), with_artifacts(artifact("tool.msi")), ("tool.msi", ".exe"), id="an msi"
        ),
        pytest.param(
            entry(), manifest(ARCHIVES, "1.2.3-nightly.1"), ("1.2.3-nightly.1",), id="a version that sorts differently"
        ),
    ],
)
def test_what_cannot_be_rendered_is_objected_to(
    planned: PlannedDelivery, release: Manifest, words: tuple[str, ...]
) -> None:
    nobody = Scoop(lambda name: pytest.fail(f"{name} was opened"), BASE)
    found = list(nobody.objections(planned, release))
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


@pytest.mark.parametrize(
    ("present", "path"),
    [
        pytest.param("bucket/other.json", "bucket/tool.json", id="bucket"),
        pytest.param("other.json", "tool.json", id="the top"),
        pytest.param("README", "bucket/tool.json", id="an empty bucket"),
    ],
)
def test_an_app_goes_where_scoop_looks(taps: Taps, present: str, path: str) -> None:
    """A new `bucket` folder would hide every app that lies at the top."""
    taps.write(present, b'{"version": "0.1.0"}')
    planned, scoop = entry(), taps.of(Scoop)
    assert scoop.observe(planned, RELEASE).state is DeliveryState.ABSENT
    assert [scoop.deliver(planned, RELEASE).sent for _ in range(2)] == [Sent.ACCEPTED] * 2
    assert scoop.observe(planned, RELEASE).state is DeliveryState.SAME
    assert (taps.read(path), taps.commits()) == (app(ARCHIVES).encode(), 3)


@pytest.mark.parametrize(
    ("there", "state"),
    [
        pytest.param('{"version": "1.10.0"}', DeliveryState.NEWER, id="newer"),
        pytest.param('{"version": "1.2.3-rc.1"}', DeliveryState.ABSENT, id="its candidate"),
        pytest.param('{"version": "nightly"}', DeliveryState.CONFLICT, id="a version that cannot be compared"),
        pytest.param('{"version": 2}', DeliveryState.CONFLICT, id="a version that is a number"),
        pytest.param('["1.0.0"]', DeliveryState.CONFLICT, id="a list"),
        pytest.param("{", DeliveryState.CONFLICT, id="no JSON"),
        pytest.param("[" * 100_000, DeliveryState.CONFLICT, id="an abyss"),
    ],
)
def test_what_may_be_newer_stays(taps: Taps, there: str, state: DeliveryState) -> None:
    taps.write("bucket/tool.json", there.encode())
    planned, scoop = entry(), taps.of(Scoop)
    assert scoop.observe(planned, RELEASE).state is state
    replaced = scoop.deliver(planned, RELEASE).sent is Sent.ACCEPTED
    assert replaced is (state is DeliveryState.ABSENT)
    assert (taps.read("bucket/tool.json") == there.encode()) is not replaced


def test_a_tap_has_nothing_that_shows_a_token_without_writing() -> None:
    Scoop(lambda name: pytest.fail(f"{name} was opened"), BASE).ready(entry())


def test_a_pull_request_proposes_the_app(taps: Taps) -> None:
    planned, scoop = entry(some(ARCHIVES, "windows-arm64"), "pull-request"), taps.of(Scoop)
    receipt = scoop.deliver(planned, RELEASE)
    seen = scoop.observe(planned, RELEASE)
    assert (seen.state, seen.detail) == (DeliveryState.PROPOSED, receipt.detail)
