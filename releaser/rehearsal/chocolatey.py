"""The Chocolatey feed of the rehearsal world: push, moderation, the OData entries of a NuGet feed of version 2.

Push: NuGet/NuGet.Client PackageUpdateResource.cs and its messages; entries: its V2FeedParser.cs; what moderation does:
chocolatey/docs community-repository/moderation; the refusals' words: chocolatey/choco NugetPush.cs and issues of those
who met them. State lives in memory.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import ClassVar, Literal
from xml.parsers import expat
from xml.sax.saxutils import escape

from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, Service, route

Status = Literal["Submitted", "Approved", "Exempted", "Rejected"]
Step = Literal["Pending", "Ready", "Waiting", "Responded", "Updated"]
FINAL: tuple[Status, ...] = ("Approved", "Exempted", "Rejected")


@dataclass(slots=True)
class Package:
    """One pushed version; readers see it from ``shown_at`` on. Without ``status`` nobody moderates."""

    id: str
    version: str
    content: bytes
    status: Status | None
    step: Step
    shown_at: float


class Chocolatey(Service):
    """The feed, below ``/api/v2``. ``now`` is its clock; an entry shows ``index_lag`` seconds after the push.

    ``moderated`` feeds hold back what was pushed until `moderate` says otherwise.
    """

    name: ClassVar[str] = "chocolatey"

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self.now: Callable[[], float] = time.time
        self.index_lag = 0.0
        self.moderated = False
        self.api_key = str(uuid.uuid4())
        self._packages: dict[tuple[str, str], Package] = {}

    @property
    def feed(self) -> str:
        """What users have as the feed's address."""
        return f"{self.url}/api/v2"

    def moderate(self, package: str, version: str, status: Status, step: Step = "Ready") -> None:
        """Let a moderator, or one of their machines, decide."""
        with self.lock:
            found = self._packages[package.lower(), version]
            found.status, found.step = status, step

    def injected(self, status: int) -> Response:
        return Response(status, b"injected fault", "text/plain")

    def not_found(self, _request: Request) -> Response:
        return Response(404, b"Resource not found", "text/plain")

    # pushing

    @route("PUT", "/api/v2/package", "push")
    @route("PUT", "/api/v2/package/", "push")
    def push(self, request: Request) -> Response:
        if request.header("x-nuget-apikey") != self.api_key:
            raise _refusal(403, "The specified API key is invalid or does not have permission to push this package.")
        content = _part(request)
        package, version = _identity(content)
        with self.lock:
            before = self._packages.get((package.lower(), version))
            if before and (before.status is None or before.status in FINAL):
                raise _refusal(409, f"This package version already exists and cannot be modified: {package} {version}")
            if before is None and self._is_waiting(package):
                message = (
                    f"The package {package} has a previous version in a submitted state, and no approved stable "
                    "releases. Please work to have the existing package version approved or rejected first."
                )
                raise _refusal(403, message)
            self._packages[package.lower(), version] = Package(
                package,
                version,
                content,
                "Submitted" if self.moderated else None,
                "Updated" if before else "Pending",
                self.now() + self.index_lag,
            )
        return Response(201, content_type="text/plain")

    def _is_waiting(self, package: str) -> bool:
        others = [p for (key, _), p in self._packages.items() if key == package.lower()]
        approved = any(p.status in ("Approved", "Exempted") and "-" not in p.version for p in others)
        return not approved and any(p.status == "Submitted" for p in others)

    # reading

    @route("GET", "/api/v2/Packages({key})", "entry")
    def entry(self, request: Request) -> Response:
        """One version; a rejected one is answered as one that was never there."""
        key = re.fullmatch(r"Id='([^']*)',Version='([^']*)'", request.params["key"])
        if key is None:
            raise Refused(Response(400, b"Bad Request - Error in query syntax.", "text/plain"))
        with self.lock:
            found = self._shown(key[1], key[2])
            return _atom(f'<?xml version="1.0" encoding="utf-8"?>{self._entry(found, _SPACES)}')

    @route("GET", "/api/v2", "service")
    @route("GET", "/api/v2/", "service")
    def service(self, _request: Request) -> Response:
        """What the data service holds, which clients ask for first."""
        collection = '<collection href="Packages"><atom:title>Packages</atom:title></collection>'
        return Response(
            body=(
                f'<service xml:base="{self.feed}/" xmlns="http://www.w3.org/2007/app"'
                f' xmlns:atom="http://www.w3.org/2005/Atom"><workspace><atom:title>Default</atom:title>{collection}'
                "</workspace></service>"
            ).encode(),
            content_type="application/xml;charset=utf-8",
        )

    @route("GET", "/api/v2/FindPackagesById()", "versions")
    def versions(self, request: Request) -> Response:
        """Every version that can be installed."""
        wanted = request.query.get("id", "").strip("'").lower()
        with self.lock:
            free = [p for (key, _), p in self._packages.items() if key == wanted and self._is_free(p)]
            entries = "".join(self._entry(package) for package in free)
        about = f"<title>FindPackagesById</title><id>{self.feed}/FindPackagesById</id><updated>{_UPDATED}</updated>"
        return _atom(f'<?xml version="1.0" encoding="utf-8"?><feed{_SPACES}>{about}{entries}</feed>')

    @route("GET", "/api/v2/package/{id}/{version}", "download")
    def download(self, request: Request) -> Response:
        with self.lock:
            found = self._shown(request.params["id"], request.params["version"])
        return Response(body=found.content, content_type="application/zip")

    def _shown(self, package: str, version: str) -> Package:
        found = self._packages.get((package.lower(), version))
        if found is None or found.status == "Rejected" or found.shown_at > self.now():
            raise Refused(self.not_found_entry())
        return found

    def _is_free(self, package: Package) -> bool:
        return package.status not in ("Submitted", "Rejected") and package.shown_at <= self.now()

    @staticmethod
    def not_found_entry() -> Response:
        """The answer where there is no such entry, as the data service words it."""
        error = (
            f'<?xml version="1.0" encoding="utf-8"?><m:error xmlns:m="{_METADATA}"><m:code />'
            "<m:message xml:lang=\"en-US\">Resource not found for the segment 'Packages'.</m:message></m:error>"
        )
        return Response(404, error.encode(), "application/xml;charset=utf-8")

    def _entry(self, package: Package, spaces: str = "") -> str:
        digest = base64.b64encode(hashlib.sha512(package.content).digest()).decode()
        properties = {
            "Version": package.version,
            "IsLatestVersion": "true",
            "IsAbsoluteLatestVersion": "true",
            "Published": "1900-01-01T00:00:00" if package.status == "Submitted" else _UPDATED,
            "PackageHash": digest,
            "PackageHashAlgorithm": "SHA512",
            "PackageSize": str(len(package.content)),
        }
        if package.status is not None:
            properties |= {
                "IsApproved": "true" if package.status == "Approved" else "false",
                "PackageStatus": package.status,
                "PackageSubmittedStatus": package.step,
            }
        name = f"{self.feed}/Packages(Id='{escape(package.id)}',Version='{escape(package.version)}')"
        source = f"{self.feed}/package/{escape(package.id)}/{escape(package.version)}"
        return (
            f'<entry{spaces}><id>{name}</id><title type="text">{escape(package.id)}</title>'
            f'<updated>{_UPDATED}</updated><content type="application/zip" src="{source}" />'
            f"<m:properties>{''.join(_property(k, v) for k, v in properties.items())}</m:properties></entry>"
        )


_METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
_SPACES = (
    f' xmlns="http://www.w3.org/2005/Atom" xmlns:m="{_METADATA}"'
    ' xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"'
)
_UPDATED = "2026-01-05T10:00:00Z"
_TYPES = {
    "IsApproved": "Edm.Boolean",
    "IsLatestVersion": "Edm.Boolean",
    "IsAbsoluteLatestVersion": "Edm.Boolean",
    "Published": "Edm.DateTime",
    "PackageSize": "Edm.Int64",
}


def _property(name: str, value: str) -> str:
    kind = f' m:type="{_TYPES[name]}"' if name in _TYPES else ""
    return f"<d:{name}{kind}>{escape(value)}</d:{name}>"


def _atom(text: str) -> Response:
    return Response(body=text.encode(), content_type="application/atom+xml;charset=utf-8")


def _refusal(status: int, message: str) -> Refused:
    """The words are in the reason phrase, which is where clients look for them, and in the body."""
    return Refused(Response(status, message.encode(), "text/plain", reason=message))


def _part(request: Request) -> bytes:
    """The bytes of the one file in the form."""
    kind = request.header("content-type")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.read())
    parts = [part.get_payload(decode=True) for part in message.iter_parts()] if message.is_multipart() else []
    if len(parts) != 1 or not isinstance(parts[0], bytes):
        raise _refusal(400, "A package is a form with exactly one file")
    return parts[0]


def _identity(content: bytes) -> tuple[str, str]:
    """Id and version in the package's manifest; 400 for what is no package."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (nuspec,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.nuspec", name))
            stated = _texts(archive.read(nuspec), ("id", "version", "authors", "description"))
    except (zipfile.BadZipFile, expat.ExpatError, ValueError) as error:
        raise _refusal(400, "The package could not be read: it has no manifest, or a broken one") from error
    if missing := [name for name, text in stated.items() if not text.strip()]:
        raise _refusal(400, f"{missing[0]} is a required element in the package nuspec file.")
    return stated["id"], stated["version"]


def _texts(document: bytes, names: Iterable[str]) -> dict[str, str]:
    """The text of each of *names* in *document*, whatever the namespace."""
    found = dict.fromkeys(names, "")
    inside: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, _attributes: object) -> None:
        inside.append(name.rpartition(" ")[2])

    def data(text: str) -> None:
        if inside[:-1] == ["package", "metadata"] and inside[-1] in found:
            found[inside[-1]] += text

    parser.StartElementHandler, parser.CharacterDataHandler = start, data
    parser.EndElementHandler = lambda _: inside.pop()
    parser.Parse(document, True)
    return found
