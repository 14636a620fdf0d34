"""The rehearsal's Chocolatey feed: what it takes, what it refuses, what it shows, as NuGet's wire has it."""

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
from releaser.rehearsal.server import Faults, Journal

NUSPEC = "<package xmlns='urn:x'><metadata>{}</metadata></package>"
SPACES = {
    "a": "http://www.w3.org/2005/Atom",
    "d": "http://schemas.microsoft.com/ado/2007/08/dataservices",
    "m": "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata",
}


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Chocolatey]:
    service = Chocolatey(tmp_path, Journal(), Faults())
    service.start()
    yield service
    service.stop()


def nupkg(version: str = "1.0.0", nuspec: str | None = None, name: str = "tern.nuspec") -> bytes:
    stated = {"id": "Tern", "version": version, "authors": "A", "description": "D"}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, nuspec or NUSPEC.format("".join(f"<{k}>{v}</{k}>" for k, v in stated.items())))
    return out.getvalue()


def push(feed: Chocolatey, content: bytes, key: str | None = None, path: str = "/api/v2/package/") -> httpx.Response:
    headers = {"X-NuGet-ApiKey": feed.api_key if key is None else key}
    return httpx.put(feed.url + path, headers=headers, files={"package": ("package.nupkg", content)})


def entry(feed: Chocolatey, version: str = "1.0.0") -> httpx.Response:
    return httpx.get(f"{feed.feed}/Packages(Id='tern',Version='{version}')")


def properties(answer: httpx.Response) -> Mapping[str, str]:
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own server's
    found = root.find("m:properties", SPACES)
    assert found is not None
    return {child.tag.partition("}")[2]: child.text or "" for child in found}


@pytest.mark.parametrize("path", ["/api/v2/package", "/api/v2/package/"])
def test_what_was_pushed_is_shown_with_its_digest(feed: Chocolatey, path: str) -> None:
    content = nupkg()
    assert push(feed, content, path=path).status_code == 201
    shown = properties(entry(feed))
    assert (shown["Version"], shown["PackageHashAlgorithm"]) == ("1.0.0", "SHA512")
    assert shown["PackageHash"] == base64.b64encode(hashlib.sha512(content).digest()).decode()
    assert "PackageStatus" not in shown
    assert httpx.get(f"{feed.feed}/package/TERN/1.0.0").content == content


@pytest.mark.parametrize(
    ("content", "key", "status", "words"),
    [
        pytest.param(nupkg(), "nobody's", 403, "API key is invalid", id="another key"),
        pytest.param(nupkg(), "", 403, "API key is invalid", id="no key"),
        pytest.param(b"PK", None, 400, "could not be read", id="no archive"),
        pytest.param(nupkg(name="a/b.nuspec"), None, 400, "could not be read", id="no manifest"),
        pytest.param(nupkg(nuspec="<package"), None, 400, "could not be read", id="a broken manifest"),
        pytest.param(nupkg(nuspec=NUSPEC.format("<id>x</id>")), None, 400, "version is a required", id="no version"),
    ],
)
def test_refusals_have_their_words_in_the_reason(
    feed: Chocolatey, content: bytes, key: str | None, status: int, words: str
) -> None:
    answer = push(feed, content, key)
    assert (answer.status_code, words in answer.reason_phrase, answer.text) == (status, True, answer.reason_phrase)
    assert entry(feed).status_code == 404


def test_a_form_of_two_files_is_refused(feed: Chocolatey) -> None:
    files = {name: ("package.nupkg", nupkg()) for name in ("one", "two")}
    answer = httpx.put(f"{feed.feed}/package/", headers={"X-NuGet-ApiKey": feed.api_key}, files=files)
    assert answer.status_code == 400


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
def test_what_is_final_cannot_be_pushed_again(feed: Chocolatey, status: Status | None, again: int, shown: int) -> None:
    feed.moderated = status is not None
    push(feed, nupkg())
    if status:
        feed.moderate("tern", "1.0.0", status)
    answer = push(feed, nupkg())
    assert (answer.status_code, entry(feed).status_code) == (again, shown)
    assert ("already exists and cannot be modified" in answer.reason_phrase) is (again == 409)


def test_moderation_shows_in_the_entry(feed: Chocolatey) -> None:
    feed.moderated = True
    seen = []
    push(feed, nupkg())
    seen.append(properties(entry(feed)))
    push(feed, nupkg())
    seen.append(properties(entry(feed)))
    feed.moderate("tern", "1.0.0", "Approved")
    seen.append(properties(entry(feed)))
    assert [(p["PackageStatus"], p["PackageSubmittedStatus"], p["IsApproved"]) for p in seen] == [
        ("Submitted", "Pending", "false"),
        ("Submitted", "Updated", "false"),
        ("Approved", "Ready", "true"),
    ]


@pytest.mark.parametrize(("approved", "status"), [(None, 403), ("1.0.0-rc", 403), ("0.9.0", 201)])
def test_a_new_version_waits_for_the_one_in_moderation(feed: Chocolatey, approved: str | None, status: int) -> None:
    """Unless a stable version was ever approved."""
    feed.moderated = True
    if approved:
        push(feed, nupkg(approved))
        feed.moderate("tern", approved, "Approved")
    push(feed, nupkg("1.0.0"))
    answer = push(feed, nupkg("1.0.1"))
    assert answer.status_code == status
    assert ("has a previous version in a submitted state" in answer.reason_phrase) is (status == 403)


def test_clients_find_only_what_can_be_installed(feed: Chocolatey) -> None:
    feed.moderated = True
    for version, status in (("1.0.0", "Approved"), ("1.1.0", "Exempted"), ("1.2.0", "Rejected"), ("1.3.0", None)):
        push(feed, nupkg(version))
        if status:
            feed.moderate("tern", version, status)  # type: ignore[arg-type]
    answer = httpx.get(f"{feed.feed}/FindPackagesById()", params={"id": "'Tern'"})
    versions = ElementTree.fromstring(answer.content).findall(".//d:Version", SPACES)  # noqa: S314 - our own server's
    assert [v.text for v in versions] == ["1.0.0", "1.1.0"]


def test_an_entry_lags_behind_the_push(feed: Chocolatey) -> None:
    feed.now = lambda: 100.0
    feed.index_lag = 5.0
    push(feed, nupkg())
    assert entry(feed).status_code == 404
    feed.now = lambda: 105.0
    assert entry(feed).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("", 200), ("/", 200), ("/Packages(Id='tern')", 400), ("/package/tern/9.9.9", 404), ("/nothing", 404)],
)
def test_other_addresses(feed: Chocolatey, path: str, status: int) -> None:
    assert httpx.get(feed.feed + path).status_code == status


def test_what_is_not_there_is_an_error_in_the_words_of_the_data_service(feed: Chocolatey) -> None:
    answer = entry(feed)
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own server's
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/xml;charset=utf-8")
    assert root.tag == f"{{{SPACES['m']}}}error"
    assert root.findtext("m:message", namespaces=SPACES) == "Resource not found for the segment 'Packages'."
