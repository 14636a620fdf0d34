"""The npm adapter against the rehearsal registry, and against answers that the rehearsal never gives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.http import Client
from releaser.adapters.npm import SIZE_LIMIT, Npm, dist_tag
from releaser.adapters.oidc import ActionsIdentity
from releaser.engine.ports import Credential, Sent
from releaser.errors import ExternalError
from releaser.model.artifact import Artifact, Contents, Inspected, Kind
from releaser.model.facts import Listing
from releaser.model.manifest import PlannedPublication
from releaser.rehearsal import npm as rehearsal
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal, Request, Response, route
from tests.adapters.wires import Clock, at, scripted, unheard

PACKAGE = "@acme/sdk"
FILE = "sdk-1.0.0.tgz"
MANIFEST = {"name": PACKAGE, "version": "1.0.0", "description": "A kit", "bin": "./cli.js"}


def planned(version: str = "1.0.0", package: str = PACKAGE) -> PlannedPublication:
    return PlannedPublication(id="sdk", registry="npm", package=package, version=version, files=(FILE,), wave=0)


def tarball(folder: Path, manifest: object = MANIFEST, note: str = "") -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        texts = {"package.json": json.dumps(manifest), "README.md": "# Kít\n", "lib/readme.md": "", "cli.js": note}
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    (folder / FILE).write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return folder / FILE


def artifact_of(file: Path) -> Artifact:
    data = file.read_bytes()
    return Artifact(
        name=file.name,
        kind=Kind.NPM,
        group="sdk",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        sha512=hashlib.sha512(data).hexdigest(),
    )


class Registry(rehearsal.Npm):
    """Keeps what is sent to it."""

    documents: list[dict[str, Any]]

    @route("PUT", "/{name}", "publish")
    def publish(self, request: Request) -> Response:
        self.documents.append(request.json())
        request.body.seek(0)
        return super().publish(request)


class World:
    def __init__(self, root: Path, issuer: Issuer, client: Client) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.registry = Registry(root, self.journal, self.faults, issuer)
        self.registry.documents = []
        self.registry.start()
        self.client = client
        self.npm = Npm(at(self.registry.url), client)
        self.identity = ActionsIdentity(client, issuer.request_url, issuer.request_token)
        self.person = Credential(self.registry.user_token, 0.0)

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.client.request("GET", f"{self.registry.url}/@acme%2fsdk").json()["dist-tags"]
        return tags


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    client = Client(clock=Clock())
    made = World(tmp_path / "registry", issuer, client)
    yield made
    client.close()
    made.registry.stop()


def answering(*answers: httpx.Response) -> Npm:
    """The adapter in front of a registry that gives *answers* in turn."""
    return Npm(at("https://example.invalid"), scripted(*answers))


# publishing


def test_a_package_is_published_with_its_bytes_and_described(world: World, tmp_path: Path) -> None:
    told: list[int] = []
    file = tarball(tmp_path)
    receipt = world.npm.publish(planned(), artifact_of(file), file, world.person, told.append)
    assert (receipt.sent, receipt.detail, sum(told)) == (Sent.ACCEPTED, "", file.stat().st_size)
    listing = Listing(True, {FILE: f"sha512:{artifact_of(file).sha512}"})
    assert world.npm.observe(PACKAGE, "1.0.0") == listing
    assert world.npm.visible(PACKAGE, "1.0.0") == listing
    assert artifact_of(file).matches(listing.files[FILE])
    assert world.tags() == {"latest": "1.0.0"}
    described = world.registry.documents[0]["versions"]["1.0.0"]
    assert (described["readmeFilename"], described["readme"]) == ("README.md", "# Kít\n")
    assert described["bin"] == {"sdk": "cli.js"}


def test_an_existing_version_is_refused_even_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    file = tarball(tmp_path)
    world.npm.publish(planned(), artifact_of(file), file, world.person, unheard)
    receipt = world.npm.publish(planned(), artifact_of(file), file, world.person, unheard)
    assert receipt.sent is Sent.TAKEN
    assert "cannot publish over the previously published versions: 1.0.0" in receipt.detail


def test_a_late_fix_of_an_old_line_does_not_move_latest(world: World, tmp_path: Path) -> None:
    for version in ("2.0.0", "1.9.1", "2.1.0-rc.1", "2.0.1"):
        file = tarball(tmp_path, {**MANIFEST, "version": version})
        assert world.npm.publish(planned(version), artifact_of(file), file, world.person, unheard).sent is Sent.ACCEPTED
    assert world.tags() == {"latest": "2.0.1", "release-1.9": "1.9.1", "rc": "2.1.0-rc.1"}


@pytest.mark.parametrize(
    ("version", "published", "tag"),
    [
        ("1.0.0", [], "latest"),
        ("1.0.0", ["0.9.0", "1.0.0-rc.1", "2.0.0-rc.1"], "latest"),
        ("1.0.0", ["1.0.0"], "latest"),
        ("1.9.1", ["2.0.0"], "release-1.9"),
        ("1.9.9", ["1.10.0"], "release-1.9"),
        ("1.0.0", ["not a version", "1", "v3.0.0"], "latest"),
        ("1.0.0-alpha.1", ["2.0.0"], "alpha"),
        ("1.0.0-beta.2", [], "beta"),
        ("1.0.0-rc1", [], "rc"),
        ("1.0.0-dev.5", [], "dev"),
        ("1.0.0-canary.1", [], "next"),
        ("1.0.0-1", [], "next"),
    ],
)
def test_a_dist_tag_never_moves_down(version: str, published: list[str], tag: str) -> None:
    assert dist_tag(version, published) == tag


@pytest.mark.parametrize(
    "manifest",
    [{**MANIFEST, "name": "@acme/other"}, {**MANIFEST, "version": "1.0.1"}, {"version": "1.0.0"}, [], 7],
    ids=["another package", "another version", "no name", "a list", "a number"],
)
def test_a_tarball_of_something_else_is_never_sent(world: World, tmp_path: Path, manifest: object) -> None:
    file = tarball(tmp_path, manifest)
    receipt = world.npm.publish(planned(), artifact_of(file), file, world.person, unheard)
    assert (receipt.sent, "no usable package.json" in receipt.detail) == (Sent.REFUSED, True)
    assert world.registry.documents == []


def test_without_knowing_the_published_versions_nothing_is_sent(world: World, tmp_path: Path) -> None:
    world.faults.add(Fault("npm.packument", "status", 500, times=9))
    file = tarball(tmp_path)
    assert world.npm.publish(planned(), artifact_of(file), file, world.person, unheard).sent is Sent.LATER
    assert world.registry.documents == []


@pytest.mark.parametrize(
    ("fault", "sent", "stored"),
    [
        (Fault("npm.publish", "status", 429), Sent.LATER, False),
        (Fault("npm.publish", "status", 503), Sent.UNKNOWN, False),
        (Fault("npm.publish", "status", 409), Sent.LATER, False),
        (Fault("npm.publish", "status", 404), Sent.DENIED, False),
        (Fault("npm.publish", "status", 413), Sent.REFUSED, False),
        (Fault("npm.publish", "status", 422), Sent.REFUSED, False),
        (Fault("npm.publish", "status", 500), Sent.UNKNOWN, False),
        (Fault("npm.publish", "lie", 504), Sent.UNKNOWN, True),
        (Fault("npm.publish", "drop"), Sent.UNKNOWN, True),
    ],
    ids=[
        "rate limit",
        "maintenance",
        "race",
        "not allowed",
        "too large",
        "provenance",
        "broken",
        "stored, then 504",
        "stored, then silence",
    ],
)
def test_trouble_is_told_apart_and_never_answered_by_a_second_upload(
    world: World, tmp_path: Path, fault: Fault, sent: Sent, stored: bool
) -> None:
    world.faults.add(fault)
    file = tarball(tmp_path)
    assert world.npm.publish(planned(), artifact_of(file), file, world.person, unheard).sent is sent
    assert len(world.journal.calls("npm.publish")) == 1
    assert bool(world.npm.observe(PACKAGE, "1.0.0").files) is stored


def test_a_404_is_explained_as_the_refusal_that_it_is(world: World, tmp_path: Path) -> None:
    world.faults.add(Fault("npm.publish", "status", 404))
    file = tarball(tmp_path)
    receipt = world.npm.publish(planned(), artifact_of(file), file, world.person, unheard)
    assert (receipt.sent, receipt.detail[:3]) == (Sent.DENIED, "404")
    assert receipt.detail.endswith("(npm answers 404 to whoever may not publish the package)")


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (httpx.Response(200), Sent.ACCEPTED),
        (httpx.Response(201, json={"success": True}), Sent.ACCEPTED),
        (httpx.Response(200, json={"error": "no"}), Sent.UNKNOWN),
        (httpx.Response(200, content=b"<html>Sign in</html>"), Sent.UNKNOWN),
        (httpx.Response(202), Sent.UNKNOWN),
    ],
    ids=["empty", "success", "error", "a page", "accepted for later"],
)
def test_only_the_documented_answer_is_a_success(tmp_path: Path, answer: httpx.Response, sent: Sent) -> None:
    file = tarball(tmp_path)
    npm = answering(httpx.Response(404), answer)
    assert npm.publish(planned(), artifact_of(file), file, Credential("opaque", 0.0), unheard).sent is sent


def test_the_tarball_is_sent_as_it_lies_on_disk_with_the_length_announced(tmp_path: Path) -> None:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        received.append(request)
        return httpx.Response(404 if request.method == "GET" else 200)

    file = tarball(tmp_path)
    client = Client(transport=httpx.MockTransport(answer), clock=Clock())
    npm = Npm(at("https://example.invalid"), client)
    npm.publish(planned(), artifact_of(file), file, Credential("opaque", 0.0), unheard)
    _, request = received
    assert int(request.headers["content-length"]) == len(request.content)
    assert request.url.raw_path == b"/@acme%2fsdk"
    document = json.loads(request.content)
    attached = document["_attachments"][f"{PACKAGE}-1.0.0.tgz"]
    assert base64.b64decode(attached["data"], validate=True) == file.read_bytes()
    assert attached["length"] == file.stat().st_size
    dist = document["versions"]["1.0.0"]["dist"]
    assert dist["shasum"] == hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    assert dist["tarball"].startswith("http://example.invalid/@acme/sdk/-/")


@pytest.mark.clients("npm>=11")
def test_the_document_is_the_one_that_npm_sends(world: World, tmp_path: Path) -> None:
    about = {"repository": "acme/sdk", "bugs": "https://example.invalid", "homepage": "https://example.invalid"}
    file = tarball(tmp_path, {**MANIFEST, **about, "publishConfig": {"access": "public"}})
    address = world.registry.url.removeprefix("http:")
    (tmp_path / ".npmrc").write_text(f"registry={world.registry.url}/\n{address}/:_authToken={world.person.secret}\n")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "npm_config_update_notifier": "false"}
    subprocess.run(["npm", "publish", str(file)], cwd=tmp_path, env=environ, check=True, capture_output=True)
    world.npm.publish(planned(), artifact_of(file), file, world.person, unheard)
    by_npm, by_us = world.registry.documents
    described = by_npm["versions"]["1.0.0"]
    for own in ("_from", "_resolved", "_integrity", "_nodeVersion", "_npmVersion"):  # what npm says about itself
        described.pop(own, None)
    described["bugs"] = about["bugs"]  # npm spells it out as an object
    assert by_us == by_npm


# reading


def test_a_package_without_the_version_is_not_an_unknown_package(world: World) -> None:
    assert world.npm.observe(PACKAGE, "1.0.0") == Listing(package=False)
    world.registry.add_package(PACKAGE, "0.9.0")
    assert world.npm.observe(PACKAGE, "1.0.0") == Listing(package=True)
    assert world.npm.visible(PACKAGE, "1.0.0") == Listing(package=True)


def packument(name: str = PACKAGE, **dist: object) -> httpx.Response:
    return httpx.Response(200, json={"name": name, "versions": {"1.0.0": {"dist": dist}}})


@pytest.mark.parametrize(
    ("integrity", "digest"),
    [
        (f"sha512-{base64.b64encode(bytes(64)).decode()}", "sha512:" + "00" * 64),
        (f"sha1-AAAA sha512-{base64.b64encode(bytes(64)).decode()}?opt", "sha512:" + "00" * 64),
        ("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ""),
        ("sha512-=AAA", ""),
        ("sha512-AAAA", ""),
        ("sha512-é", ""),
        ("", ""),
    ],
    ids=["one", "several", "old", "broken", "short", "not ASCII", "none"],
)
def test_integrity_becomes_a_digest(integrity: str, digest: str) -> None:
    assert answering(packument(integrity=integrity)).observe(PACKAGE, "1.0.0").files == {FILE: digest}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html></html>"),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"name": PACKAGE}),
        httpx.Response(200, json={"name": PACKAGE, "versions": {"1.0.0": {}}}),
        packument(integrity=7),
        packument("sdk"),
        httpx.Response(401),
        httpx.Response(302, headers={"Location": "https://other.invalid/"}),
    ],
    ids=["a page", "empty", "no versions", "no dist", "no text", "another package", "unauthorised", "elsewhere"],
)
@pytest.mark.parametrize("read", ["observe", "visible"])
def test_an_odd_answer_is_unknown_and_never_absent(answer: httpx.Response, read: str) -> None:
    with pytest.raises(ExternalError) as caught:
        getattr(answering(answer), read)(PACKAGE, "1.0.0")
    assert caught.value.code == "answer-unreadable"


# trusted publishing


def test_a_trusted_job_may_publish(world: World, tmp_path: Path) -> None:
    world.registry.now = lambda: 1_800_000_000.0
    world.registry.add_package(PACKAGE, "0.9.0")
    world.registry.trust(PACKAGE, "acme/widget", "release.yml", "release")
    credential = world.npm.authorize(PACKAGE, world.identity)
    assert credential.expires == 1_800_003_600.0
    file = tarball(tmp_path)
    assert world.npm.publish(planned(), artifact_of(file), file, credential, unheard).sent is Sent.ACCEPTED


@pytest.mark.parametrize(
    ("expires", "read"),
    [
        ("2026-03-01T01:00:00.000Z", datetime(2026, 3, 1, 1, tzinfo=UTC)),
        (1_772_326_800, datetime(2026, 3, 1, 1, tzinfo=UTC)),
        ("soon", datetime(2026, 3, 1, 1, tzinfo=UTC)),
        (None, datetime(2026, 3, 1, 1, tzinfo=UTC)),
    ],
    ids=["a date", "a number", "a word", "nothing"],
)
def test_a_token_is_good_until_it_says_or_for_an_hour(expires: object, read: datetime) -> None:
    class Job:
        def token(self, audience: str) -> str:
            return audience

    npm = answering(httpx.Response(201, json={"token": "opaque", "expires": expires}))
    assert npm.authorize(PACKAGE, Job()).expires == read.timestamp()


def test_a_job_that_nobody_trusts_is_refused_with_its_claims(world: World) -> None:
    world.registry.add_package(PACKAGE, "0.9.0")
    world.registry.trust(PACKAGE, "Acme/widget", "release.yml")
    with pytest.raises(ExternalError) as caught:
        world.npm.authorize(PACKAGE, world.identity)
    error = caught.value
    assert (error.code, error.retryable) == ("trusted-publisher-refused", False)
    assert error.found.startswith("404 OIDC token exchange error - package not found; presented repository=acme/widget")
    assert "npm answers 404 to whoever may not publish" in error.hint
    assert "first version" in error.hint
    assert "eyJ" not in repr(vars(error))


# rules


def looked_at(name: str = FILE, kind: Kind = Kind.NPM, size: int = 1000, **contents: Any) -> Inspected:
    artifact = Artifact(name=name, kind=kind, group="sdk", size=size, sha256="ab" * 32, sha512="ab" * 64)
    return Inspected(artifact, replace(Contents(name=PACKAGE, version="1.0.0"), **contents))


def found(artifact: Inspected, package: str = PACKAGE) -> list[str]:
    return [o.found for o in answering().objections("sdk", package, artifact)]


@pytest.mark.parametrize("artifact", [looked_at(), looked_at(metadata={"install_scripts": "postinstall"})])
def test_files_that_meet_the_rules_meet_no_objection(artifact: Inspected) -> None:
    assert found(artifact) == []


@pytest.mark.parametrize(
    ("artifact", "objection"),
    [
        (looked_at(kind=Kind.ARCHIVE), "a file of kind archive"),
        (looked_at(size=SIZE_LIMIT + 1), f"{SIZE_LIMIT + 1} bytes"),
        (looked_at(size=0), "0 bytes"),
        (looked_at(metadata={"private": "true"}), "private: true"),
        (looked_at(metadata={"access": "restricted"}), "publishConfig.access: restricted"),
    ],
)
def test_a_broken_rule_is_named(artifact: Inspected, objection: str) -> None:
    assert found(artifact) == [objection]


@pytest.mark.parametrize("inside", ["sdk", "@acme/SDK", "@acme/sdk2", "@other/sdk", ""])
def test_the_name_inside_must_be_the_package_with_its_scope(inside: str) -> None:
    artifact = looked_at()
    assert found(Inspected(artifact.artifact, replace(artifact.contents, name=inside))) == [inside or "no name inside"]


@pytest.mark.parametrize(
    ("package", "accepted"),
    [
        *((name, True) for name in ("sdk", "@acme/sdk", "a.b_c~d", "1st", "x" * 214)),
        *((name, False) for name in ("SDK", ".sdk", "_sdk", "@acme", "@acme/", "@acme/.x", "a/b", "a b", "")),
        *((name, False) for name in ("x" * 215, "node_modules", "favicon.ico", "sd\u212a", "sdk\n", "@a/b/c", "-x")),
    ],
)
def test_package_names_follow_the_rules_for_new_packages(package: str, accepted: bool) -> None:
    artifact = looked_at()
    named = Inspected(artifact.artifact, replace(artifact.contents, name=package))
    assert (found(named, package) == []) is accepted


def test_the_registry_lists_a_file_under_its_unscoped_name() -> None:
    artifact = looked_at("acme-sdk-1.0.0.tgz").artifact
    assert answering().file_name(PACKAGE, "1.0.0", artifact) == FILE
