"""Chocolatey: the package that is made, and what a feed says of it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from releaser.adapters.chocolatey import Chocolatey
from releaser.adapters.delivery import Source
from releaser.adapters.endpoints import ChocolateyEndpoints
from releaser.adapters.http import Client
from releaser.adapters.nupkg import ChocolateySettings, Package, render
from releaser.adapters.redact import redact
from releaser.engine.ports import Sent
from releaser.errors import ConfigError, ExternalError
from releaser.model.facts import DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.spelling import Ecosystem
from releaser.rehearsal.chocolatey import Chocolatey as Rehearsal
from releaser.rehearsal.chocolatey import Status
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.adapters.taps import BASE, artifact, manifest, some, with_artifacts
from tests.adapters.wires import Clock, scripted

GOLDEN = Path(__file__).parent / "golden"
FEED = "https://packages.example.invalid/api/v2"
ARCHIVES = {"windows-x86_64": "tool-{version}-x64.zip", "windows-x86": "tool-{version}-x86.zip"}
PROGRAM = {"windows-x86_64": "tool_windows_amd64.exe"}
INSTALLER = {"windows-x86_64": "tool-{version}.msi"}
ABOUT = {
    "description": "Does one thing, and does it well enough.",
    "homepage": "https://tool.example.invalid/",
    "authors": "The Tool Makers",
    "tags": ["tool", "cli"],
}
RELEASE = manifest(ARCHIVES)


def package(assets: dict[str, str] = ARCHIVES, release: Manifest | None = None, **more: Any) -> Package:
    """With *more* keys, in which ``_`` stands for ``-``."""
    settings = ChocolateySettings.model_validate({**ABOUT, "assets": assets, **kebab(more)})
    return render(settings, Source(Ecosystem.CHOCOLATEY, release or manifest(assets), BASE))


def entry(assets: dict[str, str] = ARCHIVES, feed: str = FEED, **more: Any) -> PlannedDelivery:
    settings = {**ABOUT, "assets": assets, **kebab(more)}
    data = {"id": "choco", "kind": "chocolatey", "repository": feed, "via": "push", "needs": (), "settings": settings}
    return PlannedDelivery.model_validate(data)


def kebab(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in keys.items()}


def part(made: Package, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        return archive.read(name).decode()


# The package


@pytest.mark.parametrize(
    ("golden", "made", "name"),
    [
        ("chocolatey.nuspec", package, "tool.nuspec"),
        (
            "chocolatey-full.nuspec",
            lambda: package(
                title="The Tool",
                summary="One thing",
                license_url="https://tool.example.invalid/mit",
                icon_url="https://tool.example.invalid/i.svg",
            ),
            "tool.nuspec",
        ),
        ("chocolatey-archives.ps1", package, "tools/chocolateyinstall.ps1"),
        ("chocolatey-program.ps1", lambda: package(PROGRAM, binary="t"), "tools/chocolateyinstall.ps1"),
        ("chocolatey-msi.ps1", lambda: package(INSTALLER), "tools/chocolateyinstall.ps1"),
        (
            "chocolatey-installer.ps1",
            lambda: package(PROGRAM, silent_args="/S /D='C:\\It\u2019s $(here)'"),
            "tools/chocolateyinstall.ps1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_parts_are_as_agreed(golden: str, made: Any, name: str) -> None:
    assert part(made(), name).encode() == (GOLDEN / golden).read_bytes()


def test_a_package_is_the_same_bytes_every_time_and_everywhere() -> None:
    """Not even a compressor has a say: its digest is what a feed is compared with, years later."""
    assert package() == package()
    assert hashlib.sha256(package().content).hexdigest() == (
        "b01232126dd1a012320e5ea6396822d05630717658a78bab3d2f0ce29e04d154"
    )


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({"description": "too short"}, "description", id="a short description"),
        pytest.param({"description": "x" * 4001}, "description", id="a long description"),
        pytest.param({"description": f"{ABOUT['description']}\x1b"}, "description", id="an escape"),
        pytest.param({"description": f"{ABOUT['description']}\uffff"}, "description", id="no XML"),
        pytest.param({"authors": "a\nb"}, "authors", id="two lines"),
        pytest.param({"tags": []}, "tags", id="no tag"),
        pytest.param({"assets": {}}, "assets", id="no platform"),
        pytest.param({"assets": {"windows-arm64": "x"}}, "assets", id="a platform that it does not know"),
        pytest.param({"push": "ftp://x"}, "push", id="no web address"),
        pytest.param({"push": "http://push.example.invalid"}, "push", id="a key in plain text"),
        pytest.param({"shortcut": "x"}, "shortcut", id="an unknown key"),
    ],
)
def test_settings_are_strict(change: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ChocolateySettings.model_validate({**ABOUT, "assets": ARCHIVES, **change})
    assert {error["loc"][0] for error in caught.value.errors()} == {names}


@pytest.mark.parametrize(
    ("planned", "release", "words"),
    [
        pytest.param(entry(), RELEASE, (), id="none"),
        pytest.param(entry(item="Tool"), RELEASE, ("Tool", "set `item`"), id="an id in capitals"),
        pytest.param(entry(item="a" * 101), RELEASE, ("set `item`",), id="a long id"),
        pytest.param(entry(tags=["one two"]), RELEASE, ("one two", "edit `tags`"), id="two words in a tag"),
        pytest.param(
            entry({**some(ARCHIVES, "windows-x86"), **INSTALLER}),
            manifest({**some(ARCHIVES, "windows-x86"), **INSTALLER}),
            ("msi, zip", "`assets`"),
            id="an archive and an installer",
        ),
        pytest.param(
            entry({"windows-x86": "tool.7z"}), with_artifacts(artifact("tool.7z")), ("tool.7z", ".zip"), id="a 7z"
        ),
        pytest.param(entry(), manifest(ARCHIVES, "1.2.3-RC.1"), ("1.2.3-RC.1", "1.2.3-rc.1"), id="capitals"),
        pytest.param(entry(colour="red"), RELEASE, ("colour", "[downstream.choco]"), id="an unknown setting"),
    ],
)
def test_what_cannot_be_rendered_is_objected_to(
    planned: PlannedDelivery, release: Manifest, words: tuple[str, ...]
) -> None:
    nobody = Chocolatey(ChocolateyEndpoints(), scripted(), "", BASE)
    found = list(nobody.objections(planned, release))
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


# The feed


@dataclass
class World:
    """A rehearsal feed, and the dispatcher that pushes to it."""

    feed: Rehearsal
    client: Client

    @property
    def choco(self) -> Chocolatey:
        return self.with_key(self.feed.api_key)

    def with_key(self, key: str) -> Chocolatey:
        return Chocolatey(ChocolateyEndpoints(self.feed.feed), self.client, key, BASE)

    def pushes(self) -> list[int]:
        return [call.status for call in self.feed.journal.calls("chocolatey.push")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    feed = Rehearsal(tmp_path / "feed", Journal(), Faults())
    feed.start()
    with closing(Client(clock=Clock())) as client:
        yield World(feed, client)
    feed.stop()


def test_a_push_puts_exactly_the_package_there(world: World) -> None:
    planned, choco = entry(), world.choco
    assert choco.observe(planned, RELEASE).state is DeliveryState.ABSENT
    assert choco.deliver(planned, RELEASE).sent is Sent.ACCEPTED
    assert choco.observe(planned, RELEASE).state is DeliveryState.SAME
    assert httpx.get(f"{world.feed.feed}/package/tool/1.2.3").content == package().content


def test_what_moderators_hold_back_is_not_there_yet(world: World) -> None:
    planned, choco, feed = entry(), world.choco, world.feed
    feed.moderated = True
    choco.deliver(planned, RELEASE)
    seen = choco.observe(planned, RELEASE)
    assert (seen.state, seen.detail) == (DeliveryState.SUBMITTED, "tool 1.2.3 is in moderation: Pending")
    feed.moderate("tool", "1.2.3", "Submitted", "Waiting")
    assert choco.observe(planned, RELEASE).detail == "tool 1.2.3 is in moderation: Waiting"
    feed.moderate("tool", "1.2.3", "Approved")
    assert choco.observe(planned, RELEASE).state is DeliveryState.SAME


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Approved", DeliveryState.SAME),
        ("Exempted", DeliveryState.SAME),
        ("Submitted", DeliveryState.SUBMITTED),
        ("Rejected", DeliveryState.ABSENT),
    ],
)
def test_a_second_push_decides_nothing(world: World, status: Status, state: DeliveryState) -> None:
    """Whether 201 for a resubmission or 409 for a version that is final: what the feed shows then is what counts."""
    planned, choco = entry(), world.choco
    world.feed.moderated = True
    choco.deliver(planned, RELEASE)
    world.feed.moderate("tool", "1.2.3", status)
    again = choco.deliver(planned, RELEASE)
    final = status != "Submitted"
    assert again.sent is (Sent.UNKNOWN if final else Sent.ACCEPTED)
    assert ("already exists and cannot be modified" in again.detail) is final
    assert choco.observe(planned, RELEASE).state is state


@pytest.mark.parametrize("moderated", [True, False])
def test_other_bytes_of_our_version_are_a_conflict(world: World, moderated: bool) -> None:
    world.feed.moderated = moderated
    world.choco.deliver(entry(summary="by somebody else"), RELEASE)
    seen = world.choco.observe(entry(), RELEASE)
    assert (seen.state, seen.detail) == (DeliveryState.CONFLICT, "tool 1.2.3 is there with another content")


def test_an_earlier_version_in_moderation_is_waited_for(world: World) -> None:
    world.feed.moderated = True
    world.choco.deliver(entry(), manifest(ARCHIVES, "1.2.2"))
    held = world.choco.deliver(entry(), RELEASE)
    assert (held.sent, "previous version in a submitted state" in held.detail) == (Sent.LATER, True)
    world.feed.moderate("tool", "1.2.2", "Approved")
    assert world.choco.deliver(entry(), RELEASE).sent is Sent.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "sent", "there"),
    [
        pytest.param(Fault("chocolatey.push", "drop"), Sent.UNKNOWN, True, id="the answer is lost"),
        pytest.param(Fault("chocolatey.push", "lie", status=500), Sent.UNKNOWN, True, id="a 500 after it is done"),
        pytest.param(Fault("chocolatey.push", "status", status=503), Sent.UNKNOWN, False, id="a 503"),
        pytest.param(Fault("chocolatey.push", "status", status=429), Sent.LATER, False, id="too many"),
        pytest.param(Fault("chocolatey.push", "status", status=406), Sent.UNKNOWN, False, id="a 406"),
        pytest.param(Fault("chocolatey.push", "status", status=400), Sent.REFUSED, False, id="a 400"),
    ],
)
def test_a_receipt_says_what_is_known(world: World, fault: Fault, sent: Sent, there: bool) -> None:
    world.feed.faults.add(fault)
    assert world.choco.deliver(entry(), RELEASE).sent is sent
    assert (world.choco.observe(entry(), RELEASE).state is DeliveryState.SAME) is there


@pytest.mark.parametrize(
    ("key", "sent", "words", "pushed"),
    [
        pytest.param("", Sent.REFUSED, "no CHOCOLATEY_API_KEY in the environment", [], id="none"),
        pytest.param(
            "0dd0ee5c-0000-0000-0000-000000000000", Sent.DENIED, "403 The specified API key", [403], id="another"
        ),
        pytest.param("0dd0ee5c-0000\n", Sent.REFUSED, "X-NuGet-ApiKey", [], id="with a line break"),
    ],
)
def test_a_push_needs_the_key(world: World, key: str, sent: Sent, words: str, pushed: list[int]) -> None:
    receipt = world.with_key(key).deliver(entry(), RELEASE)
    assert (receipt.sent, words in receipt.detail, world.pushes()) == (sent, True, pushed)


def test_a_missing_key_shows_before_anything_is_pushed(world: World) -> None:
    world.choco.ready(entry())
    with pytest.raises(ConfigError) as caught:
        world.with_key("").ready(entry())
    assert (caught.value.code, caught.value.object) == ("chocolatey-key-missing", "choco")
    assert caught.value.hint == "set CHOCOLATEY_API_KEY in the publish job's environment"


def test_the_key_is_never_shown(world: World) -> None:
    world.choco.deliver(entry(), RELEASE)
    assert world.feed.api_key not in redact(f"key {world.feed.api_key}")


# Addresses and answers of other feeds


@pytest.mark.parametrize(
    ("feed", "push", "address"),
    [
        ("https://f.example.invalid/api/v2", None, "https://f.example.invalid/api/v2/package/"),
        ("https://f.example.invalid/api/v2/", None, "https://f.example.invalid/api/v2/package/"),
        ("https://f.example.invalid", None, "https://f.example.invalid/api/v2/package/"),
        ("https://f.example.invalid/repository/choco", None, "https://f.example.invalid/repository/choco/"),
        ("https://f.example.invalid/api/v2", "https://p.example.invalid", "https://p.example.invalid/api/v2/package/"),
    ],
)
def test_a_push_goes_where_nugets_own_would(feed: str, push: str | None, address: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url}")
        return httpx.Response(201)

    choco = Chocolatey(ChocolateyEndpoints(), Client(transport=httpx.MockTransport(answer)), "k" * 20, BASE)
    assert choco.deliver(entry(feed=feed, push=push), RELEASE).sent is Sent.ACCEPTED
    assert asked == [f"PUT {address}"]


@pytest.mark.parametrize(
    ("feed", "service"),
    [
        ("https://f.example.invalid/api/v2", "https://f.example.invalid/api/v2"),
        ("https://f.example.invalid", "https://f.example.invalid/api/v2"),
        ("https://f.example.invalid/", "https://f.example.invalid/api/v2"),
        ("https://f.example.invalid/repository/choco/", "https://f.example.invalid/repository/choco"),
    ],
)
def test_a_package_is_looked_for_where_it_is_pushed(feed: str, service: str) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.headers["Accept"]))
        return httpx.Response(404) if len(asked) == 1 else httpx.Response(200, content=SERVICE)

    choco = Chocolatey(ChocolateyEndpoints(), Client(transport=httpx.MockTransport(answer)), "", BASE)
    assert choco.observe(entry(feed=feed), RELEASE).state is DeliveryState.ABSENT
    atom = "application/atom+xml, application/xml"
    assert asked == [(f"{service}/Packages(Id='tool',Version='1.2.3')", atom), (f"{service}/", atom)]


SERVICE = '<service xmlns="http://www.w3.org/2007/app"><workspace/></service>'
ERROR = (
    '<m:error xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><m:code />'
    "<m:message xml:lang=\"en-US\">Resource not found for the segment 'Packages'.</m:message></m:error>"
)
PAGE = "<!DOCTYPE html><html><body>Not found</body></html>"
ATOM = (
    '<entry xmlns="http://www.w3.org/2005/Atom" xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
    'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><m:properties>{}</m:properties></entry>'
)
FEED_OF = '<feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'
SHA512 = "<d:PackageHashAlgorithm>SHA512</d:PackageHashAlgorithm>"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param("<html>", "not XML", id="half a page"),
        pytest.param("<html><body>hi</body></html>", "<html>", id="a page"),
        pytest.param("<feed/>", "<feed>", id="a feed of something else"),
        pytest.param(f"<html>{ATOM.format('')}</html>", "<html>", id="an entry in a page"),
        pytest.param(SERVICE, "<service>", id="the service"),
        pytest.param("", "not XML", id="nothing"),
        pytest.param('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "a document type", id="a document type"),
        pytest.param(ATOM.format(""), "no PackageHash", id="no digest"),
        pytest.param(ATOM.format(f"<d:PackageHash>!</d:PackageHash>{SHA512}"), "not Base64", id="no Base64"),
        pytest.param(
            ATOM.format("<d:PackageHash>AAAA</d:PackageHash><d:PackageHashAlgorithm>MD5</d:PackageHashAlgorithm>"),
            "SHA512 or SHA256",
            id="a digest that proves nothing",
        ),
        pytest.param(FEED_OF.format(2 * ATOM.format("")), "2 entries", id="two entries"),
    ],
)
def test_what_cannot_be_understood_is_unknown(body: str, found: str) -> None:
    choco = Chocolatey(ChocolateyEndpoints(), scripted(httpx.Response(200, content=body)), "", BASE)
    with pytest.raises(ExternalError) as caught:
        choco.observe(entry(), RELEASE)
    assert (caught.value.code, found in caught.value.found) == ("answer-unreadable", True)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(404, ERROR)], id="an error of OData"),
        pytest.param([(404, ""), (200, SERVICE)], id="404 without words, of a service"),
        pytest.param([(404, PAGE), (200, SERVICE)], id="404 with a page, of a service"),
        pytest.param([(200, FEED_OF.format(""))], id="a feed without entries"),
    ],
)
def test_nothing_is_nothing(answers: list[tuple[int, str]]) -> None:
    client = scripted(*(httpx.Response(status, content=body) for status, body in answers))
    choco = Chocolatey(ChocolateyEndpoints(), client, "", BASE)
    assert choco.observe(entry(), RELEASE).state is DeliveryState.ABSENT


@pytest.mark.parametrize(
    "root",
    [
        pytest.param((404, PAGE), id="there is nothing"),
        pytest.param((200, PAGE), id="there is a page"),
        pytest.param((200, FEED_OF.format("")), id="there is a feed of news"),
        pytest.param((404, SERVICE), id="there is no service"),
        pytest.param((302, ""), id="it is elsewhere"),
    ],
)
def test_a_404_of_what_is_no_feed_is_unknown(root: tuple[int, str]) -> None:
    """Else a wrong address would permit a push that can never be seen."""
    status, body = root
    client = scripted(httpx.Response(404, content=PAGE), httpx.Response(status, content=body))
    with pytest.raises(ExternalError) as caught:
        Chocolatey(ChocolateyEndpoints(), client, "", BASE).observe(entry(), RELEASE)
    assert (caught.value.code, caught.value.object.endswith("Version='1.2.3')")) == ("answer-unreadable", True)


@pytest.mark.parametrize("status", ["Submitted", "Blocked" + "!" * 5000], ids=["a step", "a status"])
def test_what_a_feed_says_is_shown_on_one_short_line(world: World, status: str) -> None:
    world.choco.deliver(entry(), RELEASE)
    world.feed.moderate("tool", "1.2.3", status, "Wait\x85\u202eing " + "!" * 5000)  # type: ignore[arg-type]  # what no feed should say
    detail = world.choco.observe(entry(), RELEASE).detail
    assert detail.isprintable()
    assert len(detail) < 400
    assert "!…" in detail or "!\\u2026" in detail


def test_a_status_nobody_knows_is_a_conflict(world: World) -> None:
    world.choco.deliver(entry(), RELEASE)
    world.feed.moderate("tool", "1.2.3", "Blocked")  # type: ignore[arg-type]  # what no feed says yet
    assert world.choco.observe(entry(), RELEASE).state is DeliveryState.CONFLICT


def test_what_cannot_be_rendered_is_not_pushed(world: World) -> None:
    with pytest.raises(ConfigError) as caught:
        world.choco.deliver(entry(item="Tool"), RELEASE)
    assert (caught.value.code, world.pushes()) == ("delivery-name", [])
