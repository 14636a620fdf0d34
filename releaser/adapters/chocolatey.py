"""Chocolatey: a package pushed to a NuGet feed of version 2, where moderators may hold it back.

Push: NuGet/NuGet.Client PackageUpdateResource.cs; feed: its V2FeedParser.cs; moderation: chocolatey/docs
community-repository/moderation. A rejected version is answered as if it were not there, and a version that is not there
by 404 with an error of OData (NuGet/NuGetGallery) or without words (NuGet/NuGet.Server).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from releaser.adapters.delivery import Source, objections, settings_of
from releaser.adapters.endpoints import ChocolateyEndpoints
from releaser.adapters.http import Client
from releaser.adapters.nupkg import ChocolateySettings, Package, render
from releaser.adapters.redact import conceal, plain
from releaser.adapters.reply import Reply
from releaser.engine.ports import Receipt, Sent
from releaser.errors import ConfigError, ExternalError
from releaser.model.facts import Delivery, DeliveryState
from releaser.model.manifest import Manifest, PlannedDelivery
from releaser.model.spelling import Ecosystem

API_KEY = "CHOCOLATEY_API_KEY"
"""The environment variable of the key; feeds of this kind know no other credential."""

_ENTRY = "http://www.w3.org/2005/Atom entry"
_FEED = "http://www.w3.org/2005/Atom feed"
_SERVICE = "http://www.w3.org/2007/app service"
_ERROR = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata error"
_DATA = "http://schemas.microsoft.com/ado/2007/08/dataservices "
_DIGESTS = {"SHA512": hashlib.sha512, "SHA256": hashlib.sha256}
_FREE = frozenset({"", "Approved", "Exempted", "Unknown"})
"""``PackageStatus`` of what can be installed. Feeds without moderation show none."""


class Chocolatey:
    """`Dispatcher` for packages. *key* may be empty where nothing is pushed.

    *download_base* is where the forge serves release files, without the repository.
    """

    kind: str = "chocolatey"
    Settings = ChocolateySettings

    def __init__(self, endpoints: ChocolateyEndpoints, client: Client, key: str, download_base: str) -> None:
        self._endpoints = endpoints
        self._client = client
        self._key = conceal(key)
        self._base = download_base

    def objections(self, entry: PlannedDelivery, manifest: Manifest) -> Iterable[str]:
        return objections(lambda: self._rendered(entry, manifest))

    def ready(self, entry: PlannedDelivery) -> None:
        """Raises ConfigError ``chocolatey-key-missing``; whether the key is good shows only in a push."""
        if not self._key:
            raise ConfigError(
                "chocolatey-key-missing",
                "packages cannot be pushed without a key",
                object=entry.id,
                found=f"no {API_KEY} in the environment",
                wanted="the key of the feed",
                hint=f"set {API_KEY} in the publish job's environment",
            )

    def observe(self, entry: PlannedDelivery, manifest: Manifest) -> Delivery:
        package = self._rendered(entry, manifest)
        what = f"{package.id} {package.version}"
        reply = self._found(self._endpoints.feed or entry.repository, package)
        shown = _properties(reply) if reply else None
        if reply is None or shown is None:
            return Delivery(DeliveryState.ABSENT, what)
        if not _is_same(reply, shown, package.content):
            return Delivery(DeliveryState.CONFLICT, f"{what} is there with another content")
        status = shown.get("PackageStatus", "")
        if status in _FREE:
            return Delivery(DeliveryState.SAME, what)
        if status == "Submitted":
            step = plain(shown.get("PackageSubmittedStatus", ""))
            return Delivery(DeliveryState.SUBMITTED, f"{what} is in moderation" + (f": {step}" if step else ""))
        return Delivery(DeliveryState.CONFLICT, f"{what} is there with the status {plain(status)!a}")

    def deliver(self, entry: PlannedDelivery, manifest: Manifest) -> Receipt:
        """Push the package, once. That it exists already (409, 406) decides nothing: only the feed says what it is."""
        if not self._key:
            return Receipt(Sent.REFUSED, f"no {API_KEY} in the environment")
        package = self._rendered(entry, manifest)
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="package"; filename="package.nupkg"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return self._client.write(
            "PUT",
            _push_address(self._endpoints.feed or settings_of(entry, ChocolateySettings).push or entry.repository),
            headers={"X-NuGet-ApiKey": self._key, "Content-Type": f'multipart/form-data; boundary="{boundary}"'},
            content=head.encode() + package.content + f"\r\n--{boundary}--\r\n".encode(),
            means=_meaning,
        )

    def _found(self, source: str, package: Package) -> Reply | None:
        """What the feed at *source* answers of *package*; None for the 404 of what is a feed indeed.

        Raises ExternalError ``answer-unreadable`` for every other answer: behind a wrong address nothing is absent.
        """
        feed = _service(source)
        reply = self._read(f"{feed}/Packages(Id='{package.id}',Version='{package.version}')")
        if reply.status == 200:
            return reply
        if reply.status != 404:
            raise reply.unexpected()
        if not _is(reply, _ERROR):
            root = self._read(f"{feed}/")
            if root.status != 200 or not _is(root, _SERVICE):
                raise reply.unexpected()
        return None

    def _read(self, address: str) -> Reply:
        return self._client.request("GET", address, headers={"Accept": "application/atom+xml, application/xml"})

    def _rendered(self, entry: PlannedDelivery, manifest: Manifest) -> Package:
        return render(settings_of(entry, ChocolateySettings), Source(Ecosystem.CHOCOLATEY, manifest, self._base))


def _service(source: str) -> str:
    """The data service at *source*: an address without a path is completed as NuGet does to push."""
    address = source.rstrip("/")
    return address if urlsplit(address).path else f"{address}/api/v2"


def _push_address(source: str) -> str:
    """Where *source* takes packages: below a data service of the usual name, or else at *source* itself."""
    service = _service(source)
    return f"{service}/package/" if service.endswith("/api/v2") else f"{service}/"


def _meaning(reply: Reply) -> Sent | None:
    if reply.status in (200, 201, 202):
        return Sent.ACCEPTED
    if reply.status in (406, 409):
        return Sent.UNKNOWN
    # The words of the community feed while an earlier version is in moderation.
    return Sent.LATER if reply.status == 403 and "in a submitted state" in reply.said else None


def _is_same(reply: Reply, shown: Mapping[str, str], content: bytes) -> bool:
    """Whether the feed's digest is that of *content*; raises ExternalError ``answer-unreadable`` without one."""
    digest = _DIGESTS.get(shown.get("PackageHashAlgorithm", "").upper())
    try:
        stated = base64.b64decode(shown.get("PackageHash", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise reply.unreadable(f"PackageHash is not Base64: {error}") from error
    if digest is None or not stated:
        raise reply.unreadable("no PackageHash by SHA512 or SHA256")
    return stated == digest(content).digest()


def _properties(reply: Reply) -> Mapping[str, str] | None:
    """The properties of the one entry in *reply*; None for a feed without entries.

    Raises ExternalError ``answer-unreadable`` for several, and for what is neither an entry nor a feed of them.
    """
    document = _parsed(reply)
    if document.root not in (_ENTRY, _FEED):
        raise reply.unreadable(f"<{document.root.rpartition(' ')[2]}>, which is no Atom")
    if document.entries > 1:
        raise reply.unreadable(f"{document.entries} entries")
    return document.properties if document.entries else None


def _is(reply: Reply, root: str) -> bool:
    """Whether *reply* is a document of this *root*."""
    try:
        return _parsed(reply).root == root
    except ExternalError:
        return False


@dataclass(slots=True)
class _Document:
    """XML, as far as it matters. Names are with their namespace, but for those of the properties."""

    root: str
    entries: int
    properties: dict[str, str]


def _parsed(reply: Reply) -> _Document:
    """Raises ExternalError ``answer-unreadable`` for what is not XML, and for a document type, which could blow up or
    read files (T43).
    """
    from xml.parsers import expat

    found = _Document("", 0, {})
    inside = ""

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        nonlocal inside
        found.root = found.root or name
        found.entries += name == _ENTRY
        inside = name.removeprefix(_DATA) if name.startswith(_DATA) else ""

    def end(_name: str) -> None:
        nonlocal inside
        inside = ""

    def data(text: str) -> None:
        if inside:
            found.properties[inside] = found.properties.get(inside, "") + text

    def doctype(*_: object) -> None:
        raise reply.unreadable("a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = data, doctype
    try:
        parser.Parse(reply.body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise reply.unreadable(f"not XML: {error}") from error
    return found
