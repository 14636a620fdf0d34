"""The rehearsal Python index answers like the real one, row by row of its upload documentation."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.errors import ConfigError
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.pypi import PyPI
from releaser.rehearsal.pypi_upload import receive
from releaser.rehearsal.server import Fault, Faults, Journal, Request

DAY = 86400.0


def wheel_bytes(name: str = "widget", version: str = "1.0", *, without: str = "", note: str = "") -> bytes:
    info = f"{name}-{version}.dist-info"
    members = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.8\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.py"), f"NOTE = {note!r}\n")
        for member, text in members.items():
            if member != without:
                archive.writestr(zipfile.ZipInfo(f"{info}/{member}"), text)
    return buffer.getvalue()


def sdist_bytes(name: str = "widget", version: str = "1.0", member: str = "PKG-INFO") -> bytes:
    content = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}-{version}/{member}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class World:
    def __init__(self, root: Path, issuer: Issuer) -> None:
        self.journal, self.faults, self.issuer = Journal(), Faults(), issuer
        self.pypi = PyPI(root / "pypi", self.journal, self.faults, issuer)
        self.clock = 1_800_000_000.0
        self.pypi.now = lambda: self.clock
        self.pypi.start()
        self.http = httpx.Client(base_url=self.pypi.url)

    def mint(self, **claims: str) -> httpx.Response:
        return self.http.post("/_/oidc/mint-token", json={"token": self.issuer.token("pypi", **claims)})

    def token(self) -> str:
        answer: dict[str, Any] = self.mint().json()
        return str(answer["token"])

    def upload(
        self,
        content: bytes,
        filename: str = "widget-1.0-py3-none-any.whl",
        *,
        token: str | None = None,
        content_type: str = "application/octet-stream",
        **fields: str,
    ) -> httpx.Response:
        form = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": "widget",
            "version": "1.0",
            "filetype": "sdist" if filename.endswith(".tar.gz") else "bdist_wheel",
            "requires_python": ">=3.8",
            "sha256_digest": hashlib.sha256(content).hexdigest(),
            **fields,
        }
        return self.http.post(
            "/legacy/",
            data=form,
            files={"content": (filename, content, content_type)},
            auth=("__token__", self.pypi.user_token if token is None else token),
        )

    def stored(self) -> list[str]:
        return sorted(p.name for p in (self.pypi.root / "files").iterdir() if p.suffix != ".metadata")

    def simple(self, name: str = "widget") -> dict[str, Any]:
        answer = self.http.get(f"/simple/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        document: dict[str, Any] = answer.json()
        return document


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    world = World(tmp_path, issuer)
    yield world
    world.http.close()
    world.pypi.stop()


def test_an_upload_is_stored_byte_for_byte_and_shown_with_its_digest(world: World) -> None:
    content = wheel_bytes(note="x" * 3_000_000)

    assert world.upload(content).status_code == 200

    (entry,) = world.simple()["files"]
    assert entry["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
    assert (entry["size"], entry["requires-python"], entry["yanked"]) == (len(content), ">=3.8", False)
    assert entry["upload-time"] == "2027-01-15T08:00:00.000000Z"
    assert httpx.get(entry["url"]).content == content
    metadata = httpx.get(entry["url"] + ".metadata").content
    assert entry["core-metadata"] == {"sha256": hashlib.sha256(metadata).hexdigest()}
    assert b"Name: widget" in metadata


def test_content_that_looks_like_a_boundary_survives_the_form(world: World) -> None:
    tricky = sdist_bytes() + b"\r\n--not-the-boundary\r\n--" + b"\r\n" * 5

    assert world.upload(tricky, "widget-1.0.tar.gz").status_code == 200
    assert (world.pypi.root / "files" / "widget-1.0.tar.gz").read_bytes() == tricky


class Trickle(io.BytesIO):
    """A stream that hands out a few bytes at a time, as a slow connection does."""

    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


@pytest.mark.parametrize("step", [1, 2, 5, 64])
def test_a_form_is_read_the_same_wherever_it_is_cut(tmp_path: Path, step: int) -> None:
    content = b"\r\n--edge\r\r\n-\r\n--edg"
    body = Trickle(
        b'preamble\r\n--edge-x\r\nContent-Disposition: form-data; name="name"\r\n\r\nwidget\r\n--edge-x\r\n'
        b'Content-Disposition: form-data; name="content"; filename="a.whl"\r\n\r\n'
        + content
        + b"\r\n--edge-x--\r\nepilogue"
    )
    body.step = step
    headers = {"content-type": 'multipart/form-data; boundary="edge-x"'}

    upload = receive(Request("POST", "/legacy/", {}, {}, headers, body, 0), tmp_path / "content")

    assert (upload.text("name"), upload.filename, upload.size) == ("widget", "a.whl", len(content))
    assert upload.path.read_bytes() == content
    assert upload.digests["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_form_that_ends_early_is_refused(world: World) -> None:
    answer = world.http.post(
        "/legacy/",
        content=b'--edge\r\nContent-Disposition: form-data; name="name"\r\n\r\nwidget',
        headers={"Content-Type": "multipart/form-data; boundary=edge"},
        auth=("__token__", world.pypi.user_token),
    )

    assert (answer.status_code, answer.reason_phrase) == (400, "Upload payload ends in the middle of a part.")


def test_the_same_file_again_changes_nothing(world: World) -> None:
    world.upload(wheel_bytes())
    before = world.simple()
    world.clock += 30 * DAY

    assert world.upload(wheel_bytes()).status_code == 200
    assert world.simple() == before


WHEEL = "widget-1.0-py3-none-any.whl"
REFUSALS: dict[str, tuple[bytes, str, dict[str, str], str]] = {
    "digest mismatch": (wheel_bytes(), WHEEL, {"sha256_digest": "0" * 64}, "The digest supplied does not match"),
    "no digest": (wheel_bytes(), WHEEL, {"sha256_digest": ""}, "Include at least one message digest."),
    "local version": (wheel_bytes(), WHEEL, {"version": "1.0+local"}, "The use of local versions in"),
    "not a version": (wheel_bytes(), WHEEL, {"version": "one"}, "'one' is an invalid value for Version."),
    "not a name": (wheel_bytes(), WHEEL, {"name": "-widget"}, "'-widget' is an invalid value for Name."),
    "no metadata version": (wheel_bytes(), WHEEL, {"metadata_version": "UNKNOWN"}, "metadata_version: This field is"),
    "protocol": (wheel_bytes(), WHEEL, {"protocol_version": "2"}, "Unknown protocol version."),
    "file type": (wheel_bytes(), WHEEL, {"filetype": "bdist_egg"}, "Unknown type of file."),
    "version of another file name": (
        wheel_bytes(),
        "widget-1.1-py3-none-any.whl",
        {},
        "Version in filename should be '1.0' not '1.1'.",
    ),
    "project of another file name": (
        wheel_bytes(),
        "gadget-1.0-py3-none-any.whl",
        {},
        "Start filename for 'widget' with 'widget'.",
    ),
    "not a wheel name": (wheel_bytes(), "widget-1.0.whl", {}, "Invalid wheel filename"),
    "plain linux": (
        wheel_bytes(),
        "widget-1.0-cp312-cp312-linux_x86_64.whl",
        {},
        "Binary wheel 'widget-1.0-cp312-cp312-linux_x86_64.whl' has an unsupported platform tag 'linux_x86_64'.",
    ),
    "sdist name not normalised": (
        sdist_bytes("wid-get"),
        "wid-get-1.0.tar.gz",
        {"name": "wid-get"},
        "Filename 'wid-get-1.0.tar.gz' is invalid, should be 'wid_get-1.0.tar.gz'.",
    ),
    "path in the name": (wheel_bytes(), "a\\widget-1.0-py3-none-any.whl", {}, "Cannot upload a file with"),
    "not a zip": (b"PK nothing", WHEEL, {}, "Invalid distribution file."),
    "not a gzip": (b"nothing", "widget-1.0.tar.gz", {}, "Invalid distribution file."),
    "no METADATA": (
        wheel_bytes(without="METADATA"),
        WHEEL,
        {},
        f"Wheel '{WHEEL}' does not contain the required METADATA",
    ),
    "no RECORD": (wheel_bytes(without="RECORD"), WHEEL, {}, f"Wheel '{WHEEL}' does not contain the required RECORD"),
    "no PKG-INFO": (
        sdist_bytes(member="setup.py"),
        "widget-1.0.tar.gz",
        {},
        "PKG-INFO not found at widget-1.0/PKG-INFO",
    ),
    "licence file missing": (wheel_bytes(), WHEEL, {"license_file": "LICENSE"}, "License-File LICENSE does not exist"),
    "attestation by a person": (wheel_bytes(), WHEEL, {"attestations": "[{}]"}, "Attestations are only supported when"),
}


@pytest.mark.parametrize(("content", "filename", "fields", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_wrong_upload_is_refused_in_the_reason_phrase(
    world: World, content: bytes, filename: str, fields: dict[str, str], sentence: str
) -> None:
    answer = world.upload(content, filename, **fields)

    assert answer.status_code == 400
    assert answer.reason_phrase.startswith(sentence)
    assert world.stored() == []
    assert world.http.get("/simple/widget/").status_code == 404


def test_other_bytes_under_the_same_name_conflict(world: World) -> None:
    world.upload(wheel_bytes())
    other = wheel_bytes(note="other")

    answer = world.upload(other)

    blake = hashlib.blake2b(other, digest_size=32).hexdigest()
    assert (answer.status_code, answer.reason_phrase) == (
        400,
        f"File already exists ('{WHEEL}', with blake2_256 hash '{blake}').",
    )
    assert (world.pypi.root / "files" / WHEEL).read_bytes() == wheel_bytes()


def test_the_same_bytes_under_another_name_conflict(world: World) -> None:
    world.upload(wheel_bytes())

    answer = world.upload(wheel_bytes(), "widget-1.0-py2.py3-none-any.whl")

    assert answer.status_code == 400
    assert answer.reason_phrase.startswith("File already exists")
    assert world.stored() == [WHEEL]


def test_a_deleted_file_name_is_burned(world: World) -> None:
    world.upload(wheel_bytes())
    world.pypi.delete_file(WHEEL)

    answer = world.upload(wheel_bytes())

    assert answer.status_code == 400
    assert answer.reason_phrase.startswith("This filename was previously used by a file that has since been deleted")


@pytest.mark.parametrize(
    ("days", "status"), [(14, 200), (14.01, 400)], ids=["on the last day", "after the fourteenth day"]
)
def test_a_release_takes_new_files_for_fourteen_days(world: World, days: float, status: int) -> None:
    world.upload(wheel_bytes())
    world.clock += days * DAY

    answer = world.upload(sdist_bytes(), "widget-1.0.tar.gz")

    assert answer.status_code == status
    assert ("older than 14 days" in answer.reason_phrase) == (status == 400)


def test_a_release_has_one_sdist(world: World) -> None:
    world.pypi.add_package("widget")
    assert world.upload(sdist_bytes(), "widget-1.0.tar.gz").status_code == 200

    again = world.upload(sdist_bytes(version="1.0.0"), "widget-1.0.0.tar.gz", version="1.0.0")

    assert (again.status_code, again.reason_phrase) == (400, "Only one sdist may be uploaded per release.")


def test_the_first_file_fixes_the_metadata_of_its_release(world: World) -> None:
    world.upload(wheel_bytes(), requires_python=">=3.8")
    world.upload(sdist_bytes(), "widget-1.0.tar.gz", requires_python=">=3.12")

    assert {f["requires-python"] for f in world.simple()["files"]} == {">=3.8"}


def test_a_file_over_the_limit_is_refused(world: World) -> None:
    world.pypi.file_limit = 100

    answer = world.upload(wheel_bytes())

    assert (answer.status_code, answer.reason_phrase[:14]) == (400, "File too large")


@pytest.mark.parametrize("token", ["", "pypi-wrong", "schlüssel"], ids=["none", "unknown", "not ascii"])
def test_a_bad_token_is_forbidden(world: World, token: str) -> None:
    answer = world.upload(wheel_bytes(), token=token)

    assert (answer.status_code, answer.reason_phrase) == (403, "Invalid or non-existent authentication information.")


def test_read_only_mode_and_archived_projects_are_forbidden(world: World) -> None:
    world.pypi.archived.add("widget")
    assert world.upload(wheel_bytes()).status_code == 403
    world.pypi.archived.clear()
    world.pypi.read_only = True
    assert world.upload(wheel_bytes()).status_code == 403
    assert world.stored() == []


def test_the_upload_address_needs_its_slash(world: World) -> None:
    answer = world.http.post("/legacy", content=b"")

    assert (answer.status_code, answer.headers["location"]) == (308, f"{world.pypi.url}/legacy/")


def test_a_minted_token_publishes_its_projects_and_no_other(world: World) -> None:
    for name in ("widget", "widget-extra", "foreign"):
        world.pypi.add_package(name)
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")
    world.pypi.trust("Widget_Extra", "Acme/Widget", "release.yml", "Release")
    token = world.token()

    assert world.upload(wheel_bytes(), token=token).status_code == 200
    extra = wheel_bytes("widget_extra")
    assert world.upload(extra, "widget_extra-1.0-py3-none-any.whl", token=token, name="widget-extra").status_code == 200
    foreign = wheel_bytes("foreign")
    answer = world.upload(foreign, "foreign-1.0-py3-none-any.whl", token=token, name="foreign")
    assert (answer.status_code, "not valid for project 'foreign'" in answer.reason_phrase) == (403, True)
    unknown = world.upload(wheel_bytes("new"), "new-1.0-py3-none-any.whl", token=token, name="new")
    assert (unknown.status_code, unknown.reason_phrase) == (400, "Non-user identities cannot create new projects.")


def test_a_minted_token_lives_fifteen_minutes(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    answer = world.mint().json()

    assert answer["expires"] == int(world.clock) + 900
    world.clock += 900
    assert world.upload(wheel_bytes(), token=answer["token"]).status_code == 403


def test_a_pending_publisher_becomes_a_project_when_a_token_is_minted(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")
    assert world.http.get("/simple/widget/").status_code == 404

    token = world.token()

    assert world.simple()["files"] == []
    assert world.upload(wheel_bytes(), token=token).status_code == 200


def test_one_workflow_is_pending_for_one_project_only(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")

    with pytest.raises(ConfigError) as refused:
        world.pypi.trust("gadget", "acme/widget", "release.yml", "release")

    assert refused.value.code == "pending-publisher-taken"


def test_a_project_made_otherwise_spoils_its_pending_publisher(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    world.upload(wheel_bytes())

    assert _code(world.mint()) == "invalid-pending-publisher"
    assert _code(world.mint()) == "invalid-publisher"


MISMATCHES: dict[str, dict[str, str]] = {
    "another repository": {"repository": "evil/widget"},
    "another owner of the same name": {"repository_owner_id": "666"},
    "another workflow": {"job_workflow_ref": "acme/widget/.github/workflows/ci.yml@refs/tags/v1.0.0"},
    "a reusable workflow elsewhere": {"job_workflow_ref": "acme/shared/.github/workflows/release.yml@refs/tags/v1.0.0"},
    "a workflow at another ref": {"job_workflow_ref": "acme/widget/.github/workflows/release.yml@refs/heads/x"},
    "another environment": {"environment": "staging"},
    "no environment": {"environment": ""},
    "pull_request_target": {"event_name": "pull_request_target"},
}


@pytest.mark.parametrize("claims", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_an_identity_that_does_not_match_gets_no_token(world: World, claims: dict[str, str]) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")

    assert _code(world.mint(**claims)) == "invalid-publisher"
    assert world.http.get("/simple/widget/").status_code == 404


def test_an_identity_is_spent_by_success_alone(world: World) -> None:
    identity = {"token": world.issuer.token("pypi")}
    assert _code(world.http.post("/_/oidc/mint-token", json=identity)) == "invalid-publisher"

    world.pypi.trust("widget", "acme/widget", "release.yml")
    assert world.http.post("/_/oidc/mint-token", json=identity).status_code == 200
    assert _code(world.http.post("/_/oidc/mint-token", json=identity)) == "invalid-reuse-token"


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{}", "invalid-payload"), (b"no json", "invalid-payload"), (b'{"token": "e30.e30.x"}', "invalid-token")],
    ids=["no token", "not json", "not signed"],
)
def test_a_malformed_exchange_names_its_code(world: World, body: bytes, code: str) -> None:
    assert _code(world.http.post("/_/oidc/mint-token", content=body)) == code


def test_a_token_for_another_audience_is_invalid(world: World) -> None:
    answer = world.http.post("/_/oidc/mint-token", json={"token": world.issuer.token("testpypi")})

    assert _code(answer) == "invalid-token"
    assert world.http.get("/_/oidc/audience").json() == {"audience": "pypi"}


def test_switched_off_trusted_publishing_says_so(world: World) -> None:
    world.pypi.oidc_enabled = False

    assert world.http.get("/_/oidc/audience").status_code == 403
    assert _code(world.mint()) == "not-enabled"


def test_a_burned_token_is_worthless(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    token = world.token()

    assert world.http.post("/_/oidc/burn-token", json={"token": token}).status_code == 200
    assert world.upload(wheel_bytes(), token=token).status_code == 403


def attestation(
    content: bytes, filename: str = WHEEL, predicate: str = "https://slsa.dev/provenance/v1"
) -> dict[str, Any]:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": filename, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}],
        "predicateType": predicate,
        "predicate": None,
    }
    return {
        "version": 1,
        "verification_material": {"certificate": "AAAA", "transparency_entries": [{}]},
        "envelope": {"statement": base64.b64encode(json.dumps(statement).encode()).decode(), "signature": "AAAA"},
    }


def test_attestations_come_back_as_provenance(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")
    sent = [attestation(wheel_bytes())]

    assert world.upload(wheel_bytes(), token=world.token(), attestations=json.dumps(sent)).status_code == 200

    (entry,) = world.simple()["files"]
    (bundle,) = httpx.get(entry["provenance"]).json()["attestation_bundles"]
    assert bundle["attestations"] == sent
    assert bundle["publisher"]["repository"] == "acme/widget"


def test_attestations_are_not_added_to_a_file_that_is_there(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml", "release")
    token = world.token()
    world.upload(wheel_bytes(), token=token)

    assert (
        world.upload(wheel_bytes(), token=token, attestations=json.dumps([attestation(wheel_bytes())])).status_code
        == 200
    )
    assert world.simple()["files"][0]["provenance"] is None


BAD_ATTESTATIONS: dict[str, Any] = {
    "about another file": [attestation(wheel_bytes(), "gadget-1.0-py3-none-any.whl")],
    "about other bytes": [attestation(b"other")],
    "of an unknown predicate": [attestation(wheel_bytes(), predicate="https://example.invalid/v1")],
    "twice of one type": [attestation(wheel_bytes())] * 2,
    "of no shape": [{"version": 1}],
    "not a list": {"version": 1},
    "none": [],
}


@pytest.mark.parametrize("attestations", BAD_ATTESTATIONS.values(), ids=BAD_ATTESTATIONS.keys())
def test_a_wrong_attestation_refuses_the_file(world: World, attestations: Any) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")

    answer = world.upload(wheel_bytes(), token=world.token(), attestations=json.dumps(attestations))

    assert answer.status_code == 400
    assert answer.reason_phrase.startswith("Invalid attestations supplied during upload")
    assert world.stored() == []


def test_readers_see_an_upload_after_the_lag(world: World) -> None:
    world.upload(wheel_bytes())
    world.pypi.index_lag = 60.0
    world.upload(sdist_bytes(version="2.0"), "widget-2.0.tar.gz", version="2.0")

    assert world.simple()["versions"] == ["1.0"]
    assert world.http.get("/pypi/widget/2.0/json").status_code == 404
    assert world.http.get("/files/widget-2.0.tar.gz").status_code == 200
    world.clock += 60
    assert world.simple()["versions"] == ["1.0", "2.0"]
    assert world.http.get("/pypi/widget/2.0/json").status_code == 200


def test_the_json_api_tells_digests_of_every_file(world: World) -> None:
    content = wheel_bytes()
    world.upload(content)
    world.upload(sdist_bytes(version="2.0rc1"), "widget-2.0rc1.tar.gz", version="2.0rc1")

    document = world.http.get("/pypi/Widget/json").json()
    (entry,) = world.http.get("/pypi/widget/1.0.0/json").json()["urls"]

    assert document["info"]["version"] == "1.0"
    assert set(document["releases"]) == {"1.0", "2.0rc1"}
    assert entry["digests"] == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "blake2b_256": hashlib.blake2b(content, digest_size=32).hexdigest(),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+json"),
        (
            "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
            "application/vnd.pypi.simple.v1+json",
        ),
        ("application/vnd.pypi.simple.v1+json;q=0.2, text/html", "text/html"),
        ("image/png", "text/plain"),
    ],
    ids=["nothing", "anything", "json", "pip", "rather html", "neither"],
)
def test_simple_pages_are_negotiated(world: World, accept: str, content_type: str) -> None:
    world.upload(wheel_bytes())

    answer = world.http.get("/simple/widget/", headers={"Accept": accept})

    assert answer.headers["content-type"] == content_type
    assert answer.status_code == (406 if content_type == "text/plain" else 200)


def test_a_known_page_is_not_sent_again(world: World) -> None:
    world.upload(wheel_bytes())
    tag = world.http.get("/simple/widget/").headers["etag"]

    assert world.http.get("/simple/widget/", headers={"If-None-Match": tag}).status_code == 304
    world.upload(sdist_bytes(), "widget-1.0.tar.gz")
    assert world.http.get("/simple/widget/", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("path", ["/simple/Wid_Get/", "/simple/Wid_Get", "/simple/wid-get"])
def test_other_spellings_of_a_name_lead_to_the_normal_one(world: World, path: str) -> None:
    answer = world.http.get(path)

    assert (answer.status_code, answer.headers["location"]) == (301, "/simple/wid-get/")


def test_files_cannot_be_read_outside_their_directory(world: World) -> None:
    (world.pypi.root / "secret").write_text("x")

    assert world.http.get("/files/..%2Fsecret").status_code == 404


def test_a_dropped_connection_leaves_the_file_stored(world: World) -> None:
    world.faults.add(Fault("pypi.upload", "drop"))

    with pytest.raises(httpx.RemoteProtocolError):
        world.upload(wheel_bytes())

    assert world.stored() == [WHEEL]


def test_an_injected_error_speaks_in_the_reason_phrase(world: World) -> None:
    world.faults.add(Fault("pypi.upload", "status", 503))

    assert world.upload(wheel_bytes()).reason_phrase == "injected fault"
    assert world.stored() == []


def test_the_journal_holds_no_token(world: World) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    token = world.token()
    world.upload(wheel_bytes(), token=token)

    assert token not in repr(world.journal.calls())
    assert [c.operation for c in world.journal.writes()] == ["pypi.mint-token", "pypi.upload"]


@pytest.mark.clients
def test_twine_uploads_and_pip_installs(world: World, tmp_path: Path) -> None:
    world.pypi.trust("widget", "acme/widget", "release.yml")
    dist = tmp_path / WHEEL
    dist.write_bytes(wheel_bytes(note="real"))
    address = ["--repository-url", f"{world.pypi.url}/legacy/", "--username", "__token__", "--password", world.token()]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-cache-dir"]
    install += ["--index-url", f"{world.pypi.url}/simple/"]

    for command in (
        [sys.executable, "-m", "twine", "upload", "--non-interactive", *address, str(dist)],
        [*install, "--target", str(tmp_path / "site"), "widget==1.0"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    assert (tmp_path / "site" / "widget.py").read_text() == "NOTE = 'real'\n"


def _code(answer: httpx.Response) -> str:
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    return str(error["code"])
