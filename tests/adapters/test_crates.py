"""The crate registry adapter against the rehearsal registry, and against answers that the rehearsal never gives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.crates import ARCHIVE_LIMIT, PACE, Crates, index_path
from releaser.adapters.http import Client
from releaser.adapters.oidc import ActionsIdentity
from releaser.engine.ports import Credential, Sent
from releaser.errors import ExternalError
from releaser.model.artifact import Artifact, Contents, Inspected, Kind
from releaser.model.facts import Listing
from releaser.model.manifest import PlannedPublication
from releaser.rehearsal import crates as rehearsal
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal, Request, Response, route
from tests.adapters.wires import Clock, at, scripted, unheard

MANIFEST = """\
[package]
name = "widget"
version = "1.0.0"
description = "A widget"
license = "MIT"
readme = "README.md"
"""
FILE = "widget-1.0.0.crate"
PUBLICATION = PlannedPublication(
    id="crate", registry="crates.io", package="widget", version="1.0.0", files=(FILE,), wave=0
)
CHECKSUM = "ab" * 32


def crate(folder: Path, manifest: str = MANIFEST, note: str = "") -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in {"Cargo.toml": manifest, "README.md": "# Wídget\n", "src/lib.rs": f"// {note}"}.items():
            entry = tarfile.TarInfo(f"widget-1.0.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    (folder / FILE).write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return folder / FILE


def artifact_of(file: Path) -> Artifact:
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return Artifact(name=file.name, kind=Kind.CRATE, group="crate", size=len(data), sha256=sha256)


class Registry(rehearsal.Crates):
    """Keeps the JSON part of what is sent to it."""

    documents: list[dict[str, Any]]

    @route("PUT", "/api/v1/crates/new", "publish")
    def publish(self, request: Request) -> Response:
        (length,) = struct.unpack("<I", request.body.read(4))
        self.documents.append(json.loads(request.body.read(length)))
        request.body.seek(0)
        return super().publish(request)


class World:
    def __init__(self, root: Path, issuer: Issuer, client: Client) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.registry = Registry(root, self.journal, self.faults, issuer)
        self.registry.documents = []
        self.registry.start()
        self.crates = Crates(at(self.registry.url), client)
        self.identity = ActionsIdentity(client, issuer.request_url, issuer.request_token)
        self.person = Credential(self.registry.user_token, 0.0)


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    client = Client(clock=Clock())
    made = World(tmp_path / "registry", issuer, client)
    yield made
    client.close()
    made.registry.stop()


def answering(*answers: httpx.Response) -> Crates:
    """The adapter in front of a registry that gives *answers* in turn."""
    return Crates(at("https://example.invalid"), scripted(*answers))


# publishing


def test_a_crate_is_published_with_its_bytes_and_described(world: World, tmp_path: Path) -> None:
    told: list[int] = []
    file = crate(tmp_path)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, told.append)
    assert (receipt.sent, receipt.detail, sum(told)) == (Sent.ACCEPTED, "", file.stat().st_size)
    listing = Listing(True, {FILE: f"sha256:{artifact_of(file).sha256}"})
    assert world.crates.observe("widget", "1.0.0") == listing
    assert world.crates.visible("widget", "1.0.0") == listing
    (document,) = world.registry.documents
    assert (document["readme_file"], document["readme"]) == ("README.md", "# Wídget\n")


def test_an_existing_version_is_refused_even_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    file = crate(tmp_path)
    world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert (receipt.sent, receipt.detail) == (Sent.REFUSED, "400 crate version `1.0.0` is already uploaded")


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (MANIFEST.replace('"widget"', '"gadget"'), "widget-1.0.0.crate is gadget 1.0.0"),
        (MANIFEST.replace("1.0.0", "1.0.1"), "widget-1.0.0.crate is widget 1.0.1"),
        (MANIFEST.replace("README.md", "MISSING.md"), "no MISSING.md"),
        ("[package", "no usable Cargo.toml"),
        ("[package]\n", "no usable Cargo.toml"),
    ],
    ids=["another crate", "another version", "readme missing", "not TOML", "no name"],
)
def test_an_archive_of_something_else_is_never_sent(world: World, tmp_path: Path, manifest: str, says: str) -> None:
    file = crate(tmp_path, manifest)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert (receipt.sent, says in receipt.detail) == (Sent.REFUSED, True)
    assert world.journal.calls() == []


def test_a_file_that_is_no_archive_is_never_sent(world: World, tmp_path: Path) -> None:
    file = crate(tmp_path)
    file.write_bytes(file.read_bytes()[:50])
    assert world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard).sent is Sent.REFUSED
    assert world.journal.calls() == []


@pytest.mark.parametrize(
    ("fault", "sent", "wait", "stored"),
    [
        (Fault("crates.publish", "status", 503), Sent.UNKNOWN, 0.0, False),
        (Fault("crates.publish", "status", 500), Sent.UNKNOWN, 0.0, False),
        (Fault("crates.publish", "lie", 502), Sent.UNKNOWN, 0.0, True),
        (Fault("crates.publish", "drop"), Sent.UNKNOWN, 0.0, True),
        (Fault("crates.publish", "status", 413), Sent.REFUSED, 0.0, False),
        (Fault("crates.publish", "status", 200), Sent.REFUSED, 0.0, False),
        (Fault("crates.publish", "status", 429), Sent.LATER, 60.0, False),
    ],
    ids=["maintenance", "broken", "stored, then 502", "stored, then silence", "too large", "errors under 200", "rate"],
)
def test_trouble_is_told_apart_and_never_answered_by_a_second_upload(
    world: World, tmp_path: Path, fault: Fault, sent: Sent, wait: float, stored: bool
) -> None:
    world.registry.now = lambda: datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    world.faults.add(fault)
    file = crate(tmp_path)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert (receipt.sent, receipt.wait) == (sent, wait)
    assert len(world.journal.calls("crates.publish")) == 1
    assert bool(world.crates.observe("widget", "1.0.0").files) is stored


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (httpx.Response(200, json={"warnings": {"other": []}}), Sent.ACCEPTED),
        (httpx.Response(200, json={"errors": [{"detail": "no"}]}), Sent.REFUSED),
        (httpx.Response(200, content=b"<html>"), Sent.UNKNOWN),
        (httpx.Response(200, json=[]), Sent.UNKNOWN),
        (httpx.Response(200), Sent.UNKNOWN),
        (httpx.Response(302, headers={"Location": "https://other.invalid/"}), Sent.UNKNOWN),
    ],
    ids=["warnings", "errors", "a page", "a list", "nothing", "elsewhere"],
)
def test_only_the_documented_answer_is_a_success(tmp_path: Path, answer: httpx.Response, sent: Sent) -> None:
    file = crate(tmp_path)
    assert (
        answering(answer).publish(PUBLICATION, artifact_of(file), file, Credential("opaque", 0.0), unheard).sent is sent
    )


DEPENDENT = """\
[package]
name = "widget"
version = "1.0.0"
edition = "2021"
description = "A widget"
license-file = "LICENSE"
keywords = ["one", "two"]
categories = ["os"]
authors = ["Acme <acme@example.invalid>"]
homepage = "https://example.invalid"
documentation = "https://example.invalid/docs"
repository = "https://example.invalid/source"
rust-version = "1.70"
links = "widget"
build = "build.rs"
readme = "README.md"
[badges]
maintenance = { status = "experimental" }
[features]
default = ["extra"]
extra = ["dep:dep-b"]
[dependencies]
dep-a = { version = ">=1,<2", registry = "world" }
dep-b = { version = "1.2", registry = "world", optional = true, default-features = false }
renamed = { package = "dep-c", version = "=1.2.3", registry = "world" }
[target.'cfg(unix)'.dependencies]
dep-a = { version = "~1.2", registry = "world" }
[dev-dependencies]
dep-b = { version = "1.*", registry = "world" }
[build-dependencies]
dep-c = { version = "1.2.3", registry = "world" }
"""


@pytest.mark.clients("cargo")
def test_the_document_is_the_one_that_cargo_sends(world: World, tmp_path: Path) -> None:
    for name in ("dep-a", "dep-b", "dep-c"):
        world.registry.add_package(name, "1.2.3")
    source = tmp_path / "source"
    texts = {"Cargo.toml": DEPENDENT, "README.md": "# Wídget\n", "LICENSE": "", "build.rs": "", "src/lib.rs": ""}
    for path, text in texts.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RUSTUP_HOME": rustup,
        "CARGO_REGISTRIES_WORLD_INDEX": world.registry.index,
        "CARGO_REGISTRIES_WORLD_TOKEN": world.registry.user_token,
    }
    command = ["cargo", "publish", "--registry", "world", "--allow-dirty", "--no-verify"]
    subprocess.run(command, cwd=source, env=environ, check=True, capture_output=True)
    packed = next(source.rglob("widget-*.crate"))
    world.crates.publish(PUBLICATION, artifact_of(packed), packed, world.person, unheard)
    by_cargo, by_us = world.registry.documents
    assert by_us == by_cargo


def test_a_dependency_from_elsewhere_names_its_registry(world: World, tmp_path: Path) -> None:
    other = "sparse+https://other.invalid/index/"
    table = f'[dependencies.dep]\nversion = "1"\nregistry-index = "{other}"\n[build-dependencies]\nplain = "2"\n'
    file = crate(tmp_path, MANIFEST + table)
    world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    elsewhere, here = world.registry.documents[0]["deps"]
    assert (elsewhere["registry"], elsewhere["version_req"]) == (other, "^1")
    assert (here["kind"], "registry" in here) == ("build", False)


# reading


def test_a_crate_without_the_version_is_not_an_unknown_crate(world: World) -> None:
    assert world.crates.observe("widget", "1.0.0") == Listing(package=False)
    assert world.crates.visible("widget", "1.0.0") == Listing(package=False)
    world.registry.add_package("widget", "0.9.0")
    assert world.crates.observe("widget", "1.0.0") == Listing(package=True)
    assert world.crates.visible("widget", "1.0.0") == Listing(package=True)


def test_what_is_published_is_not_visible_before_the_index_has_it(world: World, tmp_path: Path) -> None:
    file = crate(tmp_path)
    now = 1_800_000_000.0
    world.registry.now = lambda: now
    world.registry.add_package("widget", "0.9.0")
    world.registry.index_lag = 60.0
    world.crates.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert world.crates.observe("widget", "1.0.0").files.keys() == {FILE}
    assert world.crates.visible("widget", "1.0.0").files == {}
    now += 61
    assert world.crates.visible("widget", "1.0.0").files.keys() == {FILE}


def test_a_version_with_other_build_metadata_is_in_the_way(world: World) -> None:
    world.registry.add_package("widget", "1.0.0+old")
    seen = world.crates.observe("widget", "1.0.0").files
    assert seen.keys() == {FILE}
    assert world.crates.visible("widget", "1.0.0").files == seen


@pytest.mark.parametrize("status", [404, 410, 451])
def test_an_index_may_say_in_three_ways_that_there_is_nothing(status: int) -> None:
    gone = httpx.Response(status, content=b"<html>gone</html>")
    assert answering(gone).visible("widget", "1.0.0") == Listing(package=False)


def line(name: str = "widget", **changes: object) -> bytes:
    return json.dumps({"name": name, "vers": "1.0.0", "cksum": CHECKSUM, **changes}).encode() + b"\n"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html></html>"),
        httpx.Response(200, content=line()[:20]),
        httpx.Response(200, content=line("gadget")),
        httpx.Response(200, content=line(cksum="AB")),
        httpx.Response(200, content=line(vers=None)),
        httpx.Response(403),
        httpx.Response(302, headers={"Location": "https://other.invalid/"}),
    ],
    ids=["a page", "cut short", "another crate", "no checksum", "no version", "forbidden", "elsewhere"],
)
def test_an_odd_index_is_unknown_and_never_absent(answer: httpx.Response) -> None:
    with pytest.raises(ExternalError) as caught:
        answering(answer).visible("widget", "1.0.0")
    assert caught.value.code == "answer-unreadable"


def page(**changes: object) -> httpx.Response:
    return httpx.Response(200, json={"version": {"crate": "widget", "num": "1.0.0", "checksum": CHECKSUM, **changes}})


@pytest.mark.parametrize(
    "answers",
    [
        [httpx.Response(200, content=b"<html></html>")],
        [httpx.Response(200, json={})],
        [page(checksum="")],
        [page(num="1.0.1")],
        [page(crate="gadget")],
        [httpx.Response(403)],
        [httpx.Response(404), httpx.Response(200, json={"crate": {}})],
        [httpx.Response(404), httpx.Response(200, json={"crate": {"name": "gadget"}})],
    ],
    ids=["a page", "empty", "no checksum", "another version", "another crate", "forbidden", "no name", "a namesake"],
)
def test_an_odd_api_is_unknown_and_never_absent(answers: list[httpx.Response]) -> None:
    with pytest.raises(ExternalError) as caught:
        answering(*answers).observe("widget", "1.0.0")
    assert caught.value.code == "answer-unreadable"


def test_the_api_is_asked_once_a_second() -> None:
    times: list[datetime] = []
    clock = Clock()

    def answer(_: httpx.Request) -> httpx.Response:
        times.append(clock.now())
        return page()

    client = Client(transport=httpx.MockTransport(answer), clock=clock)
    crates = Crates(at("https://example.invalid"), client)
    for _ in range(3):
        crates.observe("widget", "1.0.0")
    assert [b - a for a, b in pairwise(times)] == [PACE, PACE]


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "1/a"), ("ab", "2/ab"), ("abc", "3/a/abc"), ("abcd", "ab/cd/abcd"), ("Serde_Json", "se/rd/serde_json")],
)
def test_an_index_file_lies_where_cargo_looks(name: str, path: str) -> None:
    assert index_path(name) == path


# trusted publishing


def test_a_trusted_job_may_publish_until_its_token_is_given_back(world: World, tmp_path: Path) -> None:
    world.registry.add_package("widget", "0.9.0")
    world.registry.trust("widget", "acme/widget", "release.yml", "release")
    credential = world.crates.authorize("widget", world.identity)
    assert credential.expires == datetime(2026, 3, 1, 0, 30, tzinfo=UTC).timestamp()
    file = crate(tmp_path)
    assert world.crates.publish(PUBLICATION, artifact_of(file), file, credential, unheard).sent is Sent.ACCEPTED
    world.crates.discard(credential)
    world.crates.discard(credential)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, credential, unheard)
    assert (receipt.sent, receipt.detail) == (Sent.DENIED, "403 Invalid authentication token")


@pytest.mark.parametrize("fault", [Fault("crates.revoke", "status", 500), Fault("crates.revoke", "drop")])
def test_a_token_that_cannot_be_given_back_is_no_error(world: World, fault: Fault) -> None:
    world.faults.add(fault)
    world.crates.discard(Credential("cio_tp_gone", 0.0))
    assert len(world.journal.calls("crates.revoke")) == 1


def test_a_token_cannot_create_a_crate(world: World, tmp_path: Path) -> None:
    world.registry.add_package("gadget", "0.9.0")
    world.registry.trust("gadget", "acme/widget", "release.yml")
    file = crate(tmp_path)
    credential = world.crates.authorize("gadget", world.identity)
    receipt = world.crates.publish(PUBLICATION, artifact_of(file), file, credential, unheard)
    assert receipt.sent is Sent.DENIED
    assert "do not support creating new crates" in receipt.detail


def test_a_job_that_nobody_trusts_is_refused_with_its_claims(world: World) -> None:
    with pytest.raises(ExternalError) as caught:
        world.crates.authorize("widget", world.identity)
    error = caught.value
    assert (error.code, error.retryable) == ("trusted-publisher-refused", False)
    assert "No Trusted Publishing config found for repository `acme/widget`" in error.found
    assert "workflow_ref=acme/widget/.github/workflows/release.yml@refs/tags/v1.0.0" in error.found
    assert "first version" in error.hint
    assert "eyJ" not in repr(vars(error))


# rules


def looked_at(name: str = FILE, kind: Kind = Kind.CRATE, size: int = 1000, **contents: Any) -> Inspected:
    artifact = Artifact(name=name, kind=kind, group="crate", size=size, sha256=CHECKSUM)
    inside = Contents(name="widget", version="1.0.0", metadata={"license": "MIT", "description": "A widget"})
    return Inspected(artifact, replace(inside, **contents))


@pytest.mark.parametrize(
    "artifact",
    [
        looked_at(),
        looked_at(size=ARCHIVE_LIMIT),
        looked_at(metadata={"license_file": "LICENSE", "description": "d", "keywords": "a,b,c,d,e"}),
    ],
    ids=["small", "just small enough", "license file and five keywords"],
)
def test_files_that_meet_the_rules_meet_no_objection(artifact: Inspected) -> None:
    assert list(answering().objections("crate", "widget", artifact)) == []


@pytest.mark.parametrize(
    ("artifact", "objection"),
    [
        (looked_at(kind=Kind.ARCHIVE), "a file of kind archive"),
        (looked_at(size=ARCHIVE_LIMIT + 1), f"{ARCHIVE_LIMIT + 1} bytes"),
        (looked_at(size=0), "0 bytes"),
        (looked_at(unpacked=(512 << 20) + 1), f"unpacks to {(512 << 20) + 1} bytes"),
        (looked_at(version="1.0.0-" + "a" * 150), "a version of 156 characters"),
        (looked_at(metadata={"description": "d"}), "no license"),
        (looked_at(metadata={"license": "MIT"}), "no description"),
        (looked_at(metadata={"license": "MIT", "description": "d", "keywords": "a,b,c,d,e,f"}), "a, b, c, d, e, f"),
        (looked_at(metadata={"license": "MIT", "description": "d", "keywords": "x" * 21}), "x" * 21),
    ],
)
def test_a_broken_rule_is_named(artifact: Inspected, objection: str) -> None:
    assert [o.found for o in answering().objections("crate", "widget", artifact)] == [objection]


@pytest.mark.parametrize("inside", ["Widget", "wid_get", "wid-get", ""])
def test_the_name_inside_must_be_the_package_letter_by_letter(inside: str) -> None:
    artifact = looked_at()
    named = Inspected(artifact.artifact, replace(artifact.contents, name=inside))
    assert [o.found for o in answering().objections("crate", "widget", named)] == [inside or "no name inside"]


@pytest.mark.parametrize("package", ["", "1st", "-x", "_x", "a.b", "a/b", "w\u0456dget", "x" * 65])
def test_a_package_name_that_cannot_be_is_refused(package: str) -> None:
    artifact = looked_at()
    named = Inspected(artifact.artifact, replace(artifact.contents, name=package))
    found = [o.found for o in answering().objections("crate", package, named)]
    assert found == [f"the package name {package!a}"]
