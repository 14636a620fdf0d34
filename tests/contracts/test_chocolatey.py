"""The Chocolatey feed: what it takes, what it refuses, what it shows, as NuGet's wire has it.

NuGet/NuGet.Client PackageUpdateResource.cs and V2FeedParser.cs, chocolatey/docs community-repository/moderation,
chocolatey/choco NugetPush.cs. A client of NuGet's is held to the same feed in test_package_managers.py.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from releaser.rehearsal.chocolatey import Chocolatey, Status
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.contracts.table import REHEARSAL, columns

TITLE = "Chocolatey: the feed"
NO_RIGHT = "The specified API key is invalid or does not have permission to push this package."
UNREADABLE = "The package could not be read: it has no manifest, or a broken one"
WAITS = (
    "The package Tern has a previous version in a submitted state, and no approved stable releases. "
    "Please work to have the existing package version approved or rejected first."
)
NUSPEC = "<package xmlns='urn:x'><metadata>{}</metadata></package>"
SPACES = {
    "a": "http://www.w3.org/2005/Atom",
    "d": "http://schemas.microsoft.com/ado/2007/08/dataservices",
    "m": "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata",
}


@pytest.fixture(params=columns(REHEARSAL))
def feed(tmp_path: Path) -> Iterator[Chocolatey]:
    service = Chocolatey(tmp_path, Journal(), Faults())
    service.start()
    yield service
    service.stop()


def nupkg(
    version: str = "1.0.0", nuspec: str | None = None, name: str = "tern.nuspec", left_out: str = "", id: str = "Tern"
) -> bytes:
    stated = {"id": id, "version": version, "authors": "A", "description": "D"}
    texts = "".join(f"<{k}>{v}</{k}>" for k, v in stated.items() if k != left_out)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, nuspec or NUSPEC.format(texts))
    return out.getvalue()


def push(feed: Chocolatey, content: bytes, key: str | None = None, path: str = "/api/v2/package/") -> httpx.Response:
    headers = {"X-NuGet-ApiKey": feed.api_key if key is None else key}
    return httpx.put(feed.url + path, headers=headers, files={"package": ("package.nupkg", content)})


def entry(feed: Chocolatey, version: str = "1.0.0") -> httpx.Response:
    return httpx.get(f"{feed.feed}/Packages(Id='tern',Version='{version}')")


def parsed(answer: httpx.Response) -> ElementTree.Element:
    return ElementTree.fromstring(answer.content)  # noqa: S314 - our own server's


def properties(answer: httpx.Response) -> Mapping[str, str]:
    found = parsed(answer).find("m:properties", SPACES)
    assert found is not None
    return {child.tag.partition("}")[2]: child.text or "" for child in found}


@pytest.mark.parametrize("path", ["/api/v2/package", "/api/v2/package/"])
def test_pushed(feed: Chocolatey, path: str) -> None:
    """What was pushed is shown with its digest, and downloaded"""
    content = nupkg()
    answer = push(feed, content, path=path)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (201, "text/plain", b"")
    assert properties(entry(feed)) == {
        "Version": "1.0.0",
        "IsLatestVersion": "true",
        "IsAbsoluteLatestVersion": "true",
        "Published": "2026-01-05T10:00:00Z",
        "PackageHash": base64.b64encode(hashlib.sha512(content).digest()).decode(),
        "PackageHashAlgorithm": "SHA512",
        "PackageSize": str(len(content)),
    }
    file = httpx.get(f"{feed.feed}/package/TERN/1.0.0")
    assert (file.content, file.headers["content-type"]) == (content, "application/zip")


def test_entry(feed: Chocolatey) -> None:
    """An entry is Atom: its address, its package, where that lies, and typed properties"""
    push(feed, nupkg())
    answer = entry(feed)
    root = parsed(answer)
    content = root.find("a:content", SPACES)
    assert answer.headers["content-type"] == "application/atom+xml;charset=utf-8"
    assert answer.text.startswith('<?xml version="1.0" encoding="utf-8"?>')
    assert root.findtext("a:id", namespaces=SPACES) == f"{feed.feed}/Packages(Id='Tern',Version='1.0.0')"
    title = root.find("a:title", SPACES)
    assert (title is not None and (title.text, title.attrib)) == ("Tern", {"type": "text"})
    assert root.findtext("a:updated", namespaces=SPACES) == "2026-01-05T10:00:00Z"
    assert content is not None
    assert content.attrib == {"type": "application/zip", "src": f"{feed.feed}/package/Tern/1.0.0"}
    feed.moderated = True
    push(feed, nupkg("2.0.0"))
    kind = f"{{{SPACES['m']}}}type"
    found = parsed(entry(feed, "2.0.0")).findall("m:properties/*", SPACES)
    assert {child.tag.partition("}")[2]: child.attrib[kind] for child in found if kind in child.attrib} == {
        "IsApproved": "Edm.Boolean",
        "IsLatestVersion": "Edm.Boolean",
        "IsAbsoluteLatestVersion": "Edm.Boolean",
        "Published": "Edm.DateTime",
        "PackageSize": "Edm.Int64",
    }
    assert {child.tag.partition("}")[0].strip("{") for child in found} == {SPACES["d"]}


@pytest.mark.parametrize(
    ("content", "key", "status", "words"),
    [
        pytest.param(nupkg(), "nobody's", 403, NO_RIGHT, id="another key"),
        pytest.param(nupkg(), "", 403, NO_RIGHT, id="no key"),
        pytest.param(b"PK", None, 400, UNREADABLE, id="no archive"),
        pytest.param(nupkg(name="a/b.nuspec"), None, 400, UNREADABLE, id="no manifest"),
        pytest.param(nupkg(nuspec="<package"), None, 400, UNREADABLE, id="a broken manifest"),
        *(
            pytest.param(nupkg(left_out=name), None, 400, f"{name} is a required element in the package nuspec file.")
            for name in ("id", "version", "authors", "description")
        ),
    ],
)
def test_refused(feed: Chocolatey, content: bytes, key: str | None, status: int, words: str) -> None:
    """A refusal has its words in the reason phrase, and in the body"""
    answer = push(feed, content, key)
    assert (answer.status_code, answer.reason_phrase, answer.text) == (status, words, words)
    assert answer.headers["content-type"] == "text/plain"
    assert entry(feed).status_code == 404


@pytest.mark.parametrize("names", [["one", "two"], []], ids=["two", "none"])
def test_form(feed: Chocolatey, names: list[str]) -> None:
    """A package is pushed as a form of one file"""
    files = {name: ("package.nupkg", nupkg()) for name in names}
    answer = httpx.put(f"{feed.feed}/package/", headers={"X-NuGet-ApiKey": feed.api_key}, files=files)
    assert (answer.status_code, answer.reason_phrase) == (400, "A package is a form with exactly one file")


@pytest.mark.parametrize(
    ("status", "again", "shown"),
    [
        pytest.param(None, 409, 200, id="without moderation"),
        pytest.param("Submitted", 201, 200, id="submitted"),
        pytest.param("Approved", 409, 200, id="approved"),
        pytest.param("Exempted", 409, 200, id="exempted"),
        pytest.param("Rejected", 409, 404, id="rejected"),
    ],
)
def test_final(feed: Chocolatey, status: Status | None, again: int, shown: int) -> None:
    """What is approved or rejected cannot be pushed again; what is submitted can"""
    feed.moderated = status is not None
    push(feed, nupkg())
    if status:
        feed.moderate("tern", "1.0.0", status)
    answer = push(feed, nupkg())
    assert (answer.status_code, entry(feed).status_code) == (again, shown)
    exists = "This package version already exists and cannot be modified: Tern 1.0.0"
    assert answer.reason_phrase == (exists if again == 409 else "Created")


def test_moderation(feed: Chocolatey) -> None:
    """An entry shows how far its moderation is"""
    feed.moderated = True
    seen = []
    push(feed, nupkg())
    seen.append(properties(entry(feed)))
    push(feed, nupkg())
    seen.append(properties(entry(feed)))
    feed.moderate("tern", "1.0.0", "Submitted", "Waiting")
    seen.append(properties(entry(feed)))
    feed.moderate("tern", "1.0.0", "Approved")
    seen.append(properties(entry(feed)))
    assert [(p["PackageStatus"], p["PackageSubmittedStatus"], p["IsApproved"], p["Published"]) for p in seen] == [
        ("Submitted", "Pending", "false", "1900-01-01T00:00:00"),
        ("Submitted", "Updated", "false", "1900-01-01T00:00:00"),
        ("Submitted", "Waiting", "false", "1900-01-01T00:00:00"),
        ("Approved", "Ready", "true", "2026-01-05T10:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("before", "status", "expected"),
    [
        (None, "Approved", 403),
        ("1.0.0-rc", "Approved", 403),
        ("0.9.0", "Approved", 201),
        ("0.9.0", "Exempted", 201),
        ("0.9.0", "Rejected", 403),
    ],
)
def test_waits(feed: Chocolatey, before: str | None, status: Status, expected: int) -> None:
    """A new version waits for the one in moderation, unless a stable version was ever approved"""
    feed.moderated = True
    if before:
        push(feed, nupkg(before))
        feed.moderate("tern", before, status)
    push(feed, nupkg("1.0.0"))
    answer = push(feed, nupkg("1.0.1"))
    assert (answer.status_code, answer.reason_phrase) == (expected, WAITS if expected == 403 else "Created")
    assert push(feed, nupkg(id="Other")).status_code == 201


def test_versions(feed: Chocolatey) -> None:
    """Clients find only what can be installed"""
    feed.moderated = True
    for version, status in (("1.0.0", "Approved"), ("1.1.0", "Exempted"), ("1.2.0", "Rejected"), ("1.3.0", None)):
        push(feed, nupkg(version))
        if status:
            feed.moderate("tern", version, status)  # type: ignore[arg-type]
    push(feed, nupkg(id="Other"))
    feed.moderate("other", "1.0.0", "Approved")
    answer = httpx.get(f"{feed.feed}/FindPackagesById()", params={"id": "'Tern'"})
    root = parsed(answer)
    assert [v.text for v in root.findall("a:entry/m:properties/d:Version", SPACES)] == ["1.0.0", "1.1.0"]
    assert answer.headers["content-type"] == "application/atom+xml;charset=utf-8"
    assert [root.findtext(f"a:{name}", namespaces=SPACES) for name in ("title", "id", "updated")] == [
        *("FindPackagesById", f"{feed.feed}/FindPackagesById", "2026-01-05T10:00:00Z")
    ]


def test_lag(feed: Chocolatey) -> None:
    """An entry lags behind the push"""
    feed.now = lambda: 100.0
    feed.index_lag = 5.0
    push(feed, nupkg())
    found = f"{feed.feed}/FindPackagesById()"
    assert entry(feed).status_code == 404
    assert b"<entry" not in httpx.get(found, params={"id": "'Tern'"}).content
    feed.now = lambda: 105.0
    assert entry(feed).status_code == 200
    assert b"<entry" in httpx.get(found, params={"id": "'Tern'"}).content


def test_fault(feed: Chocolatey) -> None:
    """A feed that is broken says so in plain text"""
    feed.faults.add(Fault("chocolatey.push", "status", 503))
    answer = push(feed, nupkg())
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/plain")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/Packages(Id='tern')", 400, "Bad Request - Error in query syntax."),
        ("/nothing", 404, "Resource not found"),
    ],
)
def test_other_addresses(feed: Chocolatey, path: str, status: int, words: str) -> None:
    """What the data service does not understand is refused in plain text"""
    answer = httpx.get(feed.feed + path)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (status, words, "text/plain")


@pytest.mark.parametrize("path", ["", "/"])
def test_service(feed: Chocolatey, path: str) -> None:
    """The data service names what it holds"""
    answer = httpx.get(feed.feed + path)
    root = parsed(answer)
    app = {"s": "http://www.w3.org/2007/app", "a": SPACES["a"]}
    (workspace,) = root
    (held,) = workspace.findall("s:collection", app)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/xml;charset=utf-8")
    assert (root.tag, workspace.tag) == (f"{{{app['s']}}}service", f"{{{app['s']}}}workspace")
    assert root.attrib == {"{http://www.w3.org/XML/1998/namespace}base": f"{feed.feed}/"}
    assert workspace.findtext("a:title", namespaces=app) == "Default"
    assert (held.attrib, held.findtext("a:title", namespaces=app)) == ({"href": "Packages"}, "Packages")


@pytest.mark.parametrize("path", ["/Packages(Id='tern',Version='1.0.0')", "/package/tern/1.0.0"])
def test_missing(feed: Chocolatey, path: str) -> None:
    """What is not there is an error in the words of the data service"""
    answer = httpx.get(feed.feed + path)
    root = parsed(answer)
    code = root.find("m:code", SPACES)
    message = root.find("m:message", SPACES)
    assert code is not None
    assert message is not None
    assert message.attrib == {"{http://www.w3.org/XML/1998/namespace}lang": "en-US"}
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/xml;charset=utf-8")
    assert root.tag == f"{{{SPACES['m']}}}error"
    assert root.findtext("m:message", namespaces=SPACES) == "Resource not found for the segment 'Packages'."
