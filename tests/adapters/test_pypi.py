"""The Python index adapter against the rehearsal index, and against answers that the rehearsal never gives."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from twine.package import PackageFile

from releaser.adapters.http import Client
from releaser.adapters.oidc import ActionsIdentity
from releaser.adapters.pypi import FILE_LIMIT, PyPI
from releaser.engine.ports import Credential, Sent
from releaser.errors import ExternalError
from releaser.model.artifact import Artifact, Contents, Inspected, Kind
from releaser.model.facts import Listing
from releaser.model.manifest import PlannedPublication
from releaser.rehearsal import pypi as rehearsal
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.adapters.wires import Clock, at, scripted, unheard

METADATA = """\
Metadata-Version: 2.1
Name: Acme.Widget
Version: 1.0.0
Summary: A widget
Keywords: one,two
Project-URL: Home, https://example.invalid/home
Project-URL: Docs, https://example.invalid/docs
Classifier: Programming Language :: Python
Classifier: Typing :: Typed
Requires-Python: >=3.11
Requires-Dist: other>=1

Über *widgets*.
"""
WHEEL = "acme_widget-1.0.0-py3-none-any.whl"
PUBLICATION = PlannedPublication(
    id="sdk", registry="pypi", package="acme-widget", version="1.0.0", files=(WHEEL,), wave=0
)


def artifact_of(file: Path, kind: Kind = Kind.WHEEL) -> Artifact:
    data = file.read_bytes()
    return Artifact(name=file.name, kind=kind, group="sdk", size=len(data), sha256=hashlib.sha256(data).hexdigest())


def wheel(folder: Path, name: str = WHEEL, note: str = "", metadata: str = METADATA) -> Path:
    info = "acme_widget-1.0.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(zipfile.ZipInfo("acme_widget.py"), f"NOTE = {note!r}\n")
        archive.writestr(zipfile.ZipInfo(f"{info}/METADATA"), metadata.encode())
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(zipfile.ZipInfo(f"{info}/WHEEL"), tags)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return folder / name


def sdist(folder: Path, metadata: str = METADATA) -> Path:
    file = folder / "acme_widget-1.0.0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, text in (("pyproject.toml", ""), ("PKG-INFO", metadata)):
            entry = tarfile.TarInfo(f"acme_widget-1.0.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file


class World:
    def __init__(self, root: Path, issuer: Issuer, client: Client) -> None:
        self.faults, self.journal = Faults(), Journal()
        self.index = rehearsal.PyPI(root, self.journal, self.faults, issuer)
        self.index.start()
        self.client = client
        self.pypi = PyPI(at(self.index.url), client)
        self.identity = ActionsIdentity(client, issuer.request_url, issuer.request_token)
        self.person = Credential(self.index.user_token, 0.0)


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[World]:
    client = Client(clock=Clock())
    made = World(tmp_path / "index", issuer, client)
    yield made
    client.close()
    made.index.stop()


def answering(*answers: httpx.Response) -> PyPI:
    """The adapter in front of an index that gives *answers* in turn."""
    return PyPI(at("https://example.invalid"), scripted(*answers))


# publishing


def test_a_wheel_and_an_sdist_are_published_with_their_bytes_and_metadata(world: World, tmp_path: Path) -> None:
    files = {wheel(tmp_path): Kind.WHEEL, sdist(tmp_path): Kind.SDIST}
    for file, kind in files.items():
        told: list[int] = []
        receipt = world.pypi.publish(PUBLICATION, artifact_of(file, kind), file, world.person, told.append)
        assert (receipt.sent, receipt.detail, sum(told)) == (Sent.ACCEPTED, "", file.stat().st_size)
    listed = {file.name: f"sha256:{artifact_of(file).sha256}" for file in files}
    assert world.pypi.observe("acme-widget", "1.0.0") == Listing(True, listed)
    assert world.pypi.visible("Acme.Widget", "1.0.0") == Listing(True, listed)
    described = world.client.request("GET", f"{world.index.url}/pypi/acme-widget/1.0.0/json").json()["info"]
    assert (described["summary"], described["requires_python"]) == ("A widget", ">=3.11")


def form(file: Path, kind: Kind) -> list[tuple[str, bytes]]:
    """The fields that arrive when *file* is published."""
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        received.append(request)
        return httpx.Response(200)

    pypi = PyPI(at("https://example.invalid"), Client(transport=httpx.MockTransport(answer)))
    pypi.publish(PUBLICATION, artifact_of(file, kind), file, Credential("opaque", 0.0), unheard)
    (request,) = received
    assert int(request.headers["content-length"]) == len(request.content)
    assert request.headers["authorization"] == "Basic X190b2tlbl9fOm9wYXF1ZQ=="
    boundary = b"--" + request.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    *parts, end = request.content.split(b"\r\n" + boundary)
    assert end == b"--\r\n"
    heads = [part.removeprefix(boundary).removeprefix(b"\r\n").partition(b"\r\n\r\n") for part in parts]
    return [(head.split(b'"')[1].decode(), value) for head, _, value in heads]


RICH = """\
Metadata-Version: 2.4
Name: Acme.Widget
Version: 1.0.0
Platform: any
Platform: unix
Supported-Platform: linux
Summary: A widget
License-Expression: MIT
License-File: LICENSE
License-File: NOTICE
Author-email: Acme <acme@example.invalid>
Keywords: one,two
Dynamic: Summary
Provides-Extra: more
Description-Content-Type: text/markdown
Project-URL: Home, https://example.invalid/home

Über *widgets*.
"""


@pytest.mark.parametrize("kind", [Kind.WHEEL, Kind.SDIST])
@pytest.mark.parametrize(
    "metadata",
    [METADATA, RICH, METADATA.replace("Keywords: one,two\n", "License-File: LICENSE\n")],
    ids=["2.1", "2.4", "a field before its time"],
)
def test_the_form_is_the_one_that_twine_sends(tmp_path: Path, kind: Kind, metadata: str) -> None:
    file = wheel(tmp_path, metadata=metadata) if kind is Kind.WHEEL else sdist(tmp_path, metadata)
    by_twine: dict[str, Any] = {**PackageFile.from_filename(str(file), None).metadata_dictionary()}
    del by_twine["blake2_256_digest"]  # one digest is enough for the index, and the approved one is at hand
    sent = form(file, kind)
    assert sent.pop() == ("content", file.read_bytes())
    assert sent[:2] == [(":action", b"file_upload"), ("protocol_version", b"1")]
    fields: dict[str, list[str]] = {}
    for name, value in sent[2:]:
        fields.setdefault(name, []).append(value.decode())
    assert fields.pop("keywords", [""]) == [", ".join(by_twine.pop("keywords", []))]
    assert fields.pop("project_urls") == [f"{k}, {v}" for k, v in by_twine.pop("project_urls").items()]
    assert fields == {k: v if isinstance(v, list) else [v] for k, v in by_twine.items()}


def test_the_same_bytes_again_are_accepted_and_other_bytes_are_refused(world: World, tmp_path: Path) -> None:
    file = wheel(tmp_path)
    first = artifact_of(file)
    for _ in range(2):
        assert world.pypi.publish(PUBLICATION, first, file, world.person, unheard).sent is Sent.ACCEPTED
    other = wheel(tmp_path, note="changed")
    receipt = world.pypi.publish(PUBLICATION, artifact_of(other), other, world.person, unheard)
    assert receipt.sent is Sent.REFUSED
    assert "File already exists" in receipt.detail
    assert world.pypi.observe("acme-widget", "1.0.0").files == {WHEEL: f"sha256:{first.sha256}"}


def test_bytes_that_are_not_the_approved_ones_are_refused_by_the_index(world: World, tmp_path: Path) -> None:
    approved = artifact_of(wheel(tmp_path))
    swapped = wheel(tmp_path, note="swapped")
    receipt = world.pypi.publish(PUBLICATION, approved, swapped, world.person, unheard)
    assert (receipt.sent, "digest" in receipt.detail) == (Sent.REFUSED, True)
    assert world.pypi.observe("acme-widget", "1.0.0") == Listing(package=False)


def test_a_field_that_the_index_does_not_know_is_no_obstacle_and_is_not_sent(tmp_path: Path) -> None:
    sent = form(wheel(tmp_path, metadata=METADATA.replace("Summary", "Funding: x\nSummary")), Kind.WHEEL)
    assert sorted(name for name, _ in sent) == sorted(name for name, _ in form(wheel(tmp_path), Kind.WHEEL))


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (METADATA.replace("Acme.Widget", "other"), "is other 1.0.0"),
        (METADATA.replace("1.0.0", "1.0.1"), "is Acme.Widget 1.0.1"),
        ("Metadata-Version: 2.1\n", "no usable metadata"),
        (METADATA.replace("Summary", "Summary: x\nSummary"), "'summary' is given twice"),
        (METADATA.replace("2.1", "9.9"), "'9.9' is not a valid metadata version"),
    ],
    ids=["another project", "another version", "no metadata", "two summaries", "metadata of the future"],
)
def test_a_file_of_something_else_is_never_sent(world: World, tmp_path: Path, metadata: str, says: str) -> None:
    file = wheel(tmp_path, metadata=metadata)
    receipt = world.pypi.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert receipt.sent is Sent.REFUSED
    assert says in receipt.detail
    assert world.journal.calls() == []


@pytest.mark.parametrize(
    ("fault", "sent", "stored"),
    [
        (Fault("pypi.upload", "status", 503), Sent.UNKNOWN, False),
        (Fault("pypi.upload", "status", 429), Sent.LATER, False),
        (Fault("pypi.upload", "status", 500), Sent.UNKNOWN, False),
        (Fault("pypi.upload", "lie", 502), Sent.UNKNOWN, True),
        (Fault("pypi.upload", "drop"), Sent.UNKNOWN, True),
    ],
    ids=["maintenance", "rate limit", "broken", "stored, then 502", "stored, then silence"],
)
def test_trouble_is_told_apart_and_never_answered_by_a_second_upload(
    world: World, tmp_path: Path, fault: Fault, sent: Sent, stored: bool
) -> None:
    world.faults.add(fault)
    file = wheel(tmp_path)
    assert world.pypi.publish(PUBLICATION, artifact_of(file), file, world.person, unheard).sent is sent
    assert len(world.journal.calls("pypi.upload")) == 1
    assert bool(world.pypi.observe("acme-widget", "1.0.0").files) is stored


def test_a_web_page_instead_of_an_answer_is_no_success(tmp_path: Path) -> None:
    file = wheel(tmp_path)
    pypi = answering(httpx.Response(200, content=b"\n<!DOCTYPE html><html>Sign in to the network</html>"))
    assert pypi.publish(PUBLICATION, artifact_of(file), file, Credential("opaque", 0.0), unheard).sent is Sent.UNKNOWN


# reading


def test_a_project_without_the_version_is_not_an_unknown_project(world: World) -> None:
    assert world.pypi.observe("acme-widget", "1.0.0") == Listing(package=False)
    world.index.add_package("acme-widget")
    assert world.pypi.observe("acme-widget", "1.0.0") == Listing(package=True)
    assert world.pypi.visible("acme-widget", "1.0.0") == Listing(package=True)


def test_what_the_index_does_not_show_yet_is_not_visible(world: World, tmp_path: Path) -> None:
    file = wheel(tmp_path)
    now = 1_800_000_000.0
    world.index.now = lambda: now
    world.index.add_package("acme-widget")
    world.index.index_lag = 60.0
    world.pypi.publish(PUBLICATION, artifact_of(file), file, world.person, unheard)
    assert world.pypi.visible("acme-widget", "1.0.0").files == {}
    now += 61
    assert world.pypi.visible("acme-widget", "1.0.0").files.keys() == {WHEEL}


def simple(*names: str, name: str = "acme-widget") -> httpx.Response:
    files = [{"filename": n, "hashes": {"sha256": "ab" * 32}} for n in names]
    return httpx.Response(200, json={"meta": {}, "name": name, "files": files})


def test_a_missing_version_page_is_not_believed_against_the_simple_page() -> None:
    stale = httpx.Response(404, content=b"<html>cached</html>")
    assert answering(stale, simple(WHEEL)).observe("acme-widget", "1.0.0").files == {WHEEL: "sha256:" + "ab" * 32}


def test_only_files_of_the_version_are_listed() -> None:
    listing = answering(
        simple(
            WHEEL,
            "acme-widget-1.0.tar.gz",
            "acme_widget-1.0.0rc1.tar.gz",
            "acme_widget-1.0.1-py3-none-any.whl",
            "acme_widget-1.0.0.win32.exe",
            "acme_widget.whl",
            "readme",
        )
    ).visible("acme-widget", "1.0.0")
    assert set(listing.files) == {WHEEL, "acme-widget-1.0.tar.gz"}


def test_a_file_without_a_digest_is_listed_without_one() -> None:
    page = {"name": "acme-widget", "files": [{"filename": WHEEL, "hashes": {}}]}
    assert answering(httpx.Response(200, json=page)).visible("acme-widget", "1.0.0").files == {WHEEL: ""}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html></html>"),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"name": "acme-widget", "urls": {}, "files": {}}),
        httpx.Response(
            200, json={"urls": [{"filename": WHEEL}], "name": "acme-widget", "files": [{"filename": WHEEL}]}
        ),
        httpx.Response(
            200,
            json={
                "urls": [{"filename": WHEEL, "digests": {"sha256": "AB"}}],
                "name": "acme-widget",
                "files": [{"filename": WHEEL, "hashes": {"sha256": "AB"}}],
            },
        ),
        httpx.Response(204),
        httpx.Response(301, headers={"Location": "https://other.invalid/"}),
        httpx.Response(403),
    ],
    ids=["a page", "empty", "no lists", "no digests", "no such digest", "nothing", "elsewhere", "forbidden"],
)
@pytest.mark.parametrize("read", ["observe", "visible"])
def test_an_odd_answer_is_unknown_and_never_absent(answer: httpx.Response, read: str) -> None:
    with pytest.raises(ExternalError) as caught:
        getattr(answering(answer), read)("acme-widget", "1.0.0")
    assert caught.value.code == "answer-unreadable"


def test_the_page_of_another_project_is_unknown() -> None:
    with pytest.raises(ExternalError, match="answer-unreadable"):
        answering(simple(WHEEL, name="other")).visible("acme-widget", "1.0.0")


# trusted publishing


def test_a_trusted_job_may_publish_and_its_token_is_good_for_a_quarter_of_an_hour(world: World, tmp_path: Path) -> None:
    world.index.now = lambda: 1_800_000_000.0
    world.index.trust("acme-widget", "acme/widget", "release.yml", "release")
    credential = world.pypi.authorize("acme-widget", world.identity)
    assert credential.expires == 1_800_000_900.0
    assert credential.secret not in repr(credential)
    file = wheel(tmp_path)
    assert world.pypi.publish(PUBLICATION, artifact_of(file), file, credential, unheard).sent is Sent.ACCEPTED


def test_a_token_that_expired_is_refused(world: World, tmp_path: Path) -> None:
    now = 1_800_000_000.0
    world.index.now = lambda: now
    world.index.trust("acme-widget", "acme/widget", "release.yml")
    credential = world.pypi.authorize("acme-widget", world.identity)
    now += 901
    file = wheel(tmp_path)
    receipt = world.pypi.publish(PUBLICATION, artifact_of(file), file, credential, unheard)
    assert receipt.sent is Sent.DENIED
    assert credential.secret not in receipt.detail


def test_a_job_that_nobody_trusts_is_refused_with_its_claims(world: World) -> None:
    world.index.trust("acme-widget", "acme/widget", "release.yml", "production")
    with pytest.raises(ExternalError) as caught:
        world.pypi.authorize("acme-widget", world.identity)
    error = caught.value
    assert (error.code, error.retryable) == ("trusted-publisher-refused", False)
    assert "valid token, but no corresponding publisher" in error.found
    for claim in ("repository=acme/widget", "environment=release", "release.yml", "ref=refs/tags/v1.0.0"):
        assert claim in error.found
    assert "eyJ" not in repr(vars(error))


def test_an_index_in_trouble_refuses_nobody(world: World) -> None:
    world.faults.add(Fault("pypi.mint-token", "status", 500))
    with pytest.raises(ExternalError) as caught:
        world.pypi.authorize("acme-widget", world.identity)
    assert (caught.value.code, caught.value.retryable) == ("outside-unreachable", True)


# rules


def looked_at(name: str = WHEEL, kind: Kind = Kind.WHEEL, size: int = 1000, **contents: Any) -> Inspected:
    artifact = Artifact(name=name, kind=kind, group="sdk", size=size, sha256="ab" * 32)
    return Inspected(artifact, replace(Contents(name="Acme.Widget", version="1.0.0", platforms=("any",)), **contents))


def found(artifact: Inspected, package: str = "acme-widget") -> list[str]:
    pypi = answering()
    return [o.found for o in pypi.objections("sdk", package, artifact)]


@pytest.mark.parametrize(
    "artifact",
    [
        looked_at(),
        looked_at(size=FILE_LIMIT),
        looked_at("acme_widget-1.0.0.tar.gz", Kind.SDIST, platforms=()),
        looked_at("acme_widget-1.0.0-1-py3-none-any.whl"),
    ],
    ids=["wheel", "just small enough", "sdist", "build number"],
)
def test_files_that_meet_the_rules_meet_no_objection(artifact: Inspected) -> None:
    assert found(artifact) == []


@pytest.mark.parametrize(
    ("artifact", "objection"),
    [
        (looked_at("widget.zip", Kind.ARCHIVE), "a file of kind archive"),
        (looked_at(size=FILE_LIMIT + 1), f"{FILE_LIMIT + 1} bytes"),
        (looked_at(size=0), "0 bytes"),
        (looked_at(size=2 << 20, unpacked=101 << 20), f"unpacks to {101 << 20} bytes"),
        (looked_at(platforms=("linux_x86_64",)), "platform tag linux_x86_64"),
        (looked_at("acme_widget-1.0.0+local-py3-none-any.whl", version="1.0.0+local"), "the local version 1.0.0+local"),
        (looked_at("acme_widget-1.0.1-py3-none-any.whl"), "acme_widget-1.0.1-py3-none-any.whl"),
        (looked_at("other-1.0.0-py3-none-any.whl"), "other-1.0.0-py3-none-any.whl"),
        (looked_at("acme_widget.whl"), "Invalid wheel filename"),
        (looked_at("acme-widget-1.0.0.tar.gz", Kind.SDIST), "acme-widget-1.0.0.tar.gz"),
        (looked_at("acme_widget-1.0.0.zip", Kind.SDIST), "acme_widget-1.0.0.zip"),
        (looked_at(version="1.0.0-final"), "version 1.0.0-final"),
        (looked_at(version=""), "version missing"),
    ],
)
def test_a_broken_rule_is_named(artifact: Inspected, objection: str) -> None:
    (named,) = found(artifact)
    assert named.startswith(objection)


@pytest.mark.parametrize("inside", ["other", "", "acme-widget2", "acme\u2010widget", "acmewidget"])
def test_the_name_inside_must_be_the_package(inside: str) -> None:
    artifact = looked_at()
    assert found(Inspected(artifact.artifact, replace(artifact.contents, name=inside))) == [inside or "no name inside"]


@pytest.mark.parametrize("package", ["-x", "a b", "a/b", "\u0430cme", ""])
def test_a_package_name_that_cannot_be_is_refused(package: str) -> None:
    assert found(looked_at(), package) == [f"the package name {package!a}"]


@pytest.mark.parametrize(
    ("tag", "accepted"),
    [
        *((tag, True) for tag in ("any", "win32", "win_amd64", "win_arm64", "linux_armv6l", "linux_armv7l")),
        *((tag, True) for tag in ("manylinux1_i686", "manylinux2014_ppc64", "manylinux_2_28_aarch64")),
        *((tag, True) for tag in ("manylinux_2_17_ppc64", "musllinux_1_2_riscv64", "pyodide_2024_0_wasm32")),
        *((tag, True) for tag in ("macosx_10_9_x86_64", "macosx_11_0_arm64", "macosx_26_0_universal2")),
        *((tag, True) for tag in ("ios_13_0_arm64_iphonesimulator", "android_21_arm64_v8a")),
        *((tag, False) for tag in ("linux_x86_64", "linux_aarch64", "manylinux_2_28_sparc", "musllinux_1_2_ppc64")),
        *((tag, False) for tag in ("macosx_11_7_arm64", "macosx_9_0_x86_64", "win_arm32", "freebsd_14_amd64")),
        *((tag, False) for tag in ("", "any ", "manylinux2010_aarch64", "ios_13_0_arm64", "manylinux_2_28_x86_64\n")),
    ],
)
def test_platform_tags_are_those_of_the_allow_list(tag: str, accepted: bool) -> None:
    assert (found(looked_at(platforms=(tag,))) == []) is accepted


def test_a_bare_linux_tag_comes_with_the_way_out() -> None:
    (objection,) = answering().objections("sdk", "acme-widget", looked_at(platforms=("linux_x86_64",)))
    assert (objection.publication, objection.artifact) == ("sdk", WHEEL)
    assert "auditwheel" in objection.hint
