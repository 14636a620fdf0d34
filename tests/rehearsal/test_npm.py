"""The rehearsal npm registry answers like the real one, and the real CLI publishes to and installs from it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from releaser.errors import ConfigError
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.npm import Npm
from releaser.rehearsal.server import Fault, Faults, Journal

NAME = "@acme/widget"
SHORT = "application/vnd.npm.install-v1+json"
SOURCE = "https://github.com/acme/widget"


def tarball_bytes(name: str = NAME, version: str = "1.0.0") -> bytes:
    content = json.dumps({"name": name, "version": version}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def document(name: str = NAME, version: str = "1.0.0", tag: str = "latest", **package: Any) -> dict[str, Any]:
    content = tarball_bytes(name, version)
    dist = {
        "integrity": integrity(content),
        "shasum": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        "tarball": f"http://example.invalid/{name}/-/x.tgz",
    }
    manifest = {"name": name, "version": version, "dependencies": {"left": "^1"}, "readme": "long", **package}
    return {
        "_id": name,
        "name": name,
        "access": "public",
        "dist-tags": {tag: version},
        "versions": {version: {**manifest, "dist": dist}},
        "_attachments": {
            f"{name}-{version}.tgz": {
                "content_type": "application/octet-stream",
                "data": base64.b64encode(content).decode(),
                "length": len(content),
            }
        },
    }


def bundle(content: bytes, subject: str = "pkg:npm/%40acme/widget@1.0.0", source: str = SOURCE) -> dict[str, Any]:
    statement = {
        "subject": [{"name": subject, "digest": {"sha512": hashlib.sha512(content).hexdigest()}}],
        "predicate": {"buildDefinition": {"externalParameters": {"workflow": {"repository": source}}}},
    }
    text = json.dumps({"dsseEnvelope": {"payload": base64.b64encode(json.dumps(statement).encode()).decode()}})
    return {"content_type": "application/vnd.dev.sigstore.bundle.v0.3+json", "data": text, "length": len(text)}


class World:
    def __init__(self, root: Path, issuer: Issuer) -> None:
        self.journal, self.faults, self.issuer = Journal(), Faults(), issuer
        self.npm = Npm(root / "npm", self.journal, self.faults, issuer)
        self.clock = 1_800_000_000.0
        self.npm.now = lambda: self.clock
        self.npm.start()
        self.http = httpx.Client(base_url=self.npm.url)

    def put(self, body: dict[str, Any], token: str | None = None, name: str = NAME) -> httpx.Response:
        credential = self.npm.user_token if token is None else token
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        return self.http.put(f"/{quote(name, safe='@')}", json=body, headers=headers)

    def exchange(self, name: str = NAME, jwt: str | None = None, **claims: str) -> httpx.Response:
        identity = jwt or self.issuer.token("npm:127.0.0.1", **claims)
        path = f"/-/npm/v1/oidc/token/exchange/package/{quote(name, safe='@')}"
        return self.http.post(path, headers={"Authorization": f"Bearer {identity}"})

    def token(self) -> str:
        return str(self.exchange().json()["token"])

    def packument(self, name: str = NAME, accept: str = "application/json") -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/{quote(name, safe='@')}", headers={"Accept": accept}).json()
        return answer

    def versions(self) -> list[str]:
        return list(self.packument()["versions"])


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    world = World(tmp_path, issuer)
    world.npm.add_package(NAME)
    yield world
    world.http.close()
    world.npm.stop()


def message(answer: httpx.Response) -> str:
    return str(answer.json()["error"])


def test_a_published_tarball_is_served_byte_for_byte(world: World) -> None:
    assert world.put(document()).status_code == 201

    dist = world.packument()["versions"]["1.0.0"]["dist"]
    assert dist["integrity"] == integrity(tarball_bytes())
    assert dist["tarball"] == f"{world.npm.url}/@acme/widget/-/widget-1.0.0.tgz"
    escaped = f"{world.npm.url}/@acme%2fwidget/-/widget-1.0.0.tgz"
    assert [httpx.get(address).content for address in (dist["tarball"], escaped)] == [tarball_bytes()] * 2


def test_an_unscoped_package_is_published_by_a_person_without_having_existed(world: World) -> None:
    assert world.put(document("gadget"), name="gadget").status_code == 201

    address = world.packument("gadget")["versions"]["1.0.0"]["dist"]["tarball"]
    assert address == f"{world.npm.url}/gadget/-/gadget-1.0.0.tgz"
    assert httpx.get(address).content == tarball_bytes("gadget")


def test_publishing_moves_its_tag_and_no_other(world: World) -> None:
    world.put(document(version="2.0.0-rc.1", tag="next"))
    world.put(document(version="1.0.0"))

    assert world.packument()["dist-tags"] == {"latest": "1.0.0", "next": "2.0.0-rc.1"}


@pytest.mark.parametrize(
    "path", ["/@acme%2fwidget", "/@acme%2Fwidget", "/@acme/widget"], ids=["escaped", "upper case", "plain"]
)
def test_a_scoped_name_is_found_however_it_is_escaped(world: World, path: str) -> None:
    assert world.http.get(path).json()["name"] == NAME


def test_the_short_packument_is_for_installers(world: World) -> None:
    world.put(document())

    full, short = world.packument(), world.packument(accept=f"{SHORT}; q=1.0, application/json; q=0.8, */*")

    assert short["versions"]["1.0.0"]["dependencies"] == {"left": "^1"}
    assert short["versions"]["1.0.0"]["dist"] == full["versions"]["1.0.0"]["dist"]
    assert ("readme" in short["versions"]["1.0.0"], "readme" in full["versions"]["1.0.0"]) == (False, True)
    assert short["modified"] == full["time"]["modified"] == full["time"]["1.0.0"] == "2027-01-15T08:00:00.000Z"


def test_a_known_packument_is_not_sent_again(world: World) -> None:
    tag = world.http.get("/@acme%2fwidget").headers["etag"]

    assert world.http.get("/@acme%2fwidget", headers={"If-None-Match": tag}).status_code == 304
    world.put(document())
    assert world.http.get("/@acme%2fwidget", headers={"If-None-Match": tag}).status_code == 200


def test_one_version_is_read_by_number_and_by_tag(world: World) -> None:
    world.put(document())

    by_number = world.http.get("/@acme%2fwidget/1.0.0").json()
    assert by_number["dist"]["integrity"] == integrity(tarball_bytes())
    assert world.http.get("/@acme%2fwidget/latest").json() == by_number
    assert world.http.get("/@acme%2fwidget/9.9.9").status_code == 404


def test_packuments_lag_behind_a_publication(world: World) -> None:
    world.npm.index_lag = 20.0
    world.put(document())

    assert (world.versions(), world.packument()["dist-tags"]) == (["0.0.1"], {"latest": "0.0.1"})
    assert world.http.get("/@acme%2fwidget/1.0.0").status_code == 404
    assert world.put(document()).status_code == 403
    world.clock += 20
    assert (world.versions(), world.packument()["dist-tags"]) == (["0.0.1", "1.0.0"], {"latest": "1.0.0"})


def test_a_version_is_never_published_twice(world: World) -> None:
    world.put(document())

    answer = world.put(document())

    assert answer.status_code == 403
    assert message(answer) == "You cannot publish over the previously published versions: 1.0.0."


def changed(**changes: Any) -> dict[str, Any]:
    return {**document(), **changes}


def with_dist(**changes: str) -> dict[str, Any]:
    body = document()
    body["versions"]["1.0.0"]["dist"].update(changes)
    return body


def with_attachment(**changes: Any) -> dict[str, Any]:
    body = document()
    body["_attachments"][f"{NAME}-1.0.0.tgz"].update(changes)
    return body


REFUSALS: dict[str, dict[str, Any]] = {
    "another name than the address": document("gadget"),
    "another id": changed(_id="gadget"),
    "no versions": changed(versions={}),
    "no attachment": changed(_attachments={}),
    "tag of another version": changed(**{"dist-tags": {"latest": "2.0.0"}}),
    "tag like a version": changed(**{"dist-tags": {"1.0": "1.0.0"}}),
    "version not semver": document(version="1.0"),
    "integrity of other bytes": with_dist(integrity=integrity(b"other")),
    "shasum of other bytes": with_dist(shasum="0" * 40),
    "other bytes": with_attachment(data=base64.b64encode(b"other").decode(), length=5),
    "wrong length": with_attachment(length=1),
    "not base64": with_attachment(data="%%%"),
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_document_that_contradicts_itself_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = world.put(body)

    assert (answer.status_code, message(answer)[:24]) == (400, "invalid publish document")
    assert world.versions() == ["0.0.1"]


@pytest.mark.parametrize("token", ["", "npm_wrong"], ids=["none", "unknown"])
def test_without_authority_there_is_nothing(world: World, token: str) -> None:
    answer = world.put(document(), token)

    assert (answer.status_code, message(answer)) == (404, "Not found")
    assert world.versions() == ["0.0.1"]


PROVENANCE: dict[str, tuple[dict[str, Any], str, int]] = {
    "good": (bundle(tarball_bytes()), f"git+{SOURCE}.git", 201),
    "of other bytes": (bundle(b"other"), f"git+{SOURCE}.git", 422),
    "of another version": (bundle(tarball_bytes(), "pkg:npm/%40acme/widget@2.0.0"), f"git+{SOURCE}.git", 422),
    "from another repository": (bundle(tarball_bytes(), source=f"{SOURCE}s"), f"git+{SOURCE}.git", 422),
    "no repository.url": (bundle(tarball_bytes()), "", 422),
    "no bundle": ({"data": "{}"}, f"git+{SOURCE}.git", 422),
}


@pytest.mark.parametrize(("attachment", "url", "status"), PROVENANCE.values(), ids=PROVENANCE.keys())
def test_provenance_must_be_about_the_tarball_and_its_repository(
    world: World, attachment: dict[str, Any], url: str, status: int
) -> None:
    body = document(repository={"type": "git", "url": url})
    body["_attachments"][f"{NAME}-1.0.0.sigstore"] = attachment

    assert world.put(body).status_code == status
    assert ("1.0.0" in world.versions()) == (status == 201)


def test_a_minted_token_publishes_its_package_and_no_other(world: World) -> None:
    world.npm.add_package("gadget")
    world.npm.trust(NAME, "acme/widget", "release.yml", "release")
    token = world.token()

    assert world.put(document(), token).status_code == 201
    assert world.put(document("gadget"), token, "gadget").status_code == 404
    assert world.put(document("brand-new"), token, "brand-new").status_code == 404


def test_a_minted_token_lives_an_hour(world: World) -> None:
    world.npm.trust(NAME, "acme/widget", "release.yml")
    answer = world.exchange()

    assert answer.status_code == 201
    assert answer.json()["expires"] == "2027-01-15T09:00:00.000Z"
    world.clock += 3600
    assert world.put(document(), answer.json()["token"]).status_code == 404


MISMATCHES: dict[str, dict[str, str]] = {
    "another repository": {"repository": "evil/widget"},
    "repository in other case": {"repository": "Acme/widget"},
    "another calling workflow": {"workflow_ref": "acme/widget/.github/workflows/ci.yml@refs/tags/v1.0.0"},
    "another environment": {"environment": "staging"},
    "environment in other case": {"environment": "Release"},
    "no environment": {"environment": ""},
    "a runner of one's own": {"runner_environment": "self-hosted"},
    "another audience": {"aud": "npm:example.invalid"},
}


@pytest.mark.parametrize("claims", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_an_identity_that_does_not_match_finds_no_package(world: World, claims: dict[str, str]) -> None:
    world.npm.trust(NAME, "acme/widget", "release.yml", "release")

    answer = world.exchange(**claims)

    assert (answer.status_code, message(answer)) == (404, "OIDC token exchange error - package not found")


def test_an_identity_is_spent_by_success_alone(world: World) -> None:
    jwt = world.issuer.token("npm:127.0.0.1")
    refused = world.exchange(jwt=jwt)
    world.npm.trust(NAME, "acme/widget", "release.yml")

    answers = [refused, world.exchange(jwt=jwt), world.exchange(jwt=jwt)]

    assert [a.status_code for a in answers] == [404, 201, 404]


def test_a_package_has_one_trusted_publisher(world: World) -> None:
    world.npm.trust(NAME, "acme/widget", "release.yml")
    world.npm.trust(NAME, "acme/widget", "other.yml")

    assert world.exchange().status_code == 404


def test_a_package_must_exist_before_it_has_a_publisher(world: World) -> None:
    with pytest.raises(ConfigError) as refused:
        world.npm.trust("gadget", "acme/widget", "release.yml")

    assert refused.value.code == "publisher-without-package"


def test_tags_are_moved_by_persons_alone(world: World) -> None:
    world.npm.trust(NAME, "acme/widget", "release.yml")
    path = "/-/package/@acme%2fwidget/dist-tags"
    person = {"Authorization": f"Bearer {world.npm.user_token}"}

    minted = world.http.put(f"{path}/old", json="0.0.1", headers={"Authorization": f"Bearer {world.token()}"})
    assert (minted.status_code, message(minted)) == (403, "OIDC permission denied for this action")
    assert world.http.put(f"{path}/old", json="9.9.9", headers=person).status_code == 404
    world.http.put(f"{path}/old", json="0.0.1", headers=person)
    assert world.http.get(path).json() == {"latest": "0.0.1", "old": "0.0.1"}
    world.http.delete(f"{path}/old", headers=person)
    assert world.packument()["dist-tags"] == {"latest": "0.0.1"}


def test_ping_and_whoami(world: World) -> None:
    person = {"Authorization": f"Bearer {world.npm.user_token}"}

    assert world.http.get("/-/ping").json() == {}
    assert world.http.get("/-/whoami", headers=person).json() == {"username": "maintainer"}
    assert world.http.get("/-/whoami").status_code == 401


@pytest.mark.parametrize("path", ["/nothing", "/nothing/1.0.0", "/nothing/-/nothing-1.0.0.tgz", "/@acme/nothing"])
def test_what_does_not_exist_is_not_found(world: World, path: str) -> None:
    assert world.http.get(path).status_code == 404


def test_a_dropped_connection_leaves_the_version_published(world: World) -> None:
    world.faults.add(Fault("npm.publish", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        world.put(document())

    assert world.versions() == ["0.0.1", "1.0.0"]


def test_an_injected_race_changes_nothing(world: World) -> None:
    world.faults.add(Fault("npm.publish", "status", 409))

    assert world.put(document()).status_code == 409
    assert world.versions() == ["0.0.1"]


def test_the_journal_holds_no_token(world: World) -> None:
    world.npm.trust(NAME, "acme/widget", "release.yml")
    token = world.token()
    world.put(document(), token)

    assert token not in repr(world.journal.calls())
    assert [c.operation for c in world.journal.writes()] == ["npm.exchange", "npm.publish"]


@pytest.mark.clients("npm>=11.5.1")
def test_the_cli_publishes_by_its_job_identity_and_installs(world: World, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    world.npm.trust(NAME, "acme/widget", "release.yml", "release")
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    site.mkdir()
    (source / "package.json").write_text(json.dumps({"name": NAME, "version": "1.0.0", "main": "index.js"}))
    (source / "index.js").write_text("module.exports = 1;\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "npm_config_registry": f"{world.npm.url}/",
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }
    identity = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": world.issuer.request_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": world.issuer.request_token,
    }

    for directory, command, extra in (
        (source, ["publish", "--access", "public"], identity),
        (site, ["install", f"{NAME}@1.0.0"], {}),
    ):
        done = subprocess.run(
            [npm, *command], cwd=directory, env={**environment, **extra}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    assert (site / "node_modules" / NAME / "index.js").read_text() == "module.exports = 1;\n"
    assert world.packument()["dist-tags"] == {"latest": "1.0.0"}
    assert [c.operation for c in world.journal.writes()] == ["npm.exchange", "npm.publish"]
