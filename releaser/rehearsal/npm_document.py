"""The document that ``npm publish`` sends to the rehearsal registry, taken apart and checked.

Shape after npm/cli workspaces/libnpmpublish/lib/publish.js; provenance after lib/provenance.js of the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from releaser.rehearsal.server import Refused, Request, Response


@dataclass(frozen=True, slots=True)
class Document:
    """One version to publish: its package.json, its dist-tags, its bytes and their digests.

    ``restricted`` is None where the document leaves access as it is, which is public at first.
    """

    name: str
    version: str
    manifest: dict[str, Any]
    tags: dict[str, str]
    tarball: bytes
    dist: dict[str, Any]
    provenance: dict[str, Any] | None = None
    restricted: bool | None = None


ACCESS = {None: None, "public": False, "restricted": True, "private": True}
"""What ``access`` says about ``restricted``; ``private`` is npm's newer word."""


def refusal(status: int, message: str, **headers: str) -> Refused:
    """npm answers ``error``, and ``message`` in its newer endpoints; both are here."""
    return Refused(Response.json({"error": message, "message": message}, status=status, **headers))


def digests(tarball: bytes) -> dict[str, Any]:
    """``dist`` without its address: ``integrity`` (SHA-512, base64) and ``shasum`` (SHA-1, hex)."""
    return {
        "integrity": f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}",
        "shasum": hashlib.sha1(tarball, usedforsecurity=False).hexdigest(),
    }


def parse(request: Request, name: str) -> Document:
    """The document for *name*; refuses with 400 one that contradicts itself or its tarball."""
    import semver

    try:
        body = request.json()
        ((number, manifest),) = body["versions"].items()
        attachments = body["_attachments"]
        tags = {str(tag): str(version) for tag, version in body["dist-tags"].items()}
        ((_filename, attached),) = [(k, v) for k, v in attachments.items() if k.endswith(".tgz")]
        tarball = base64.b64decode(attached["data"], validate=True)
        bundles = [json.loads(v["data"]) for k, v in attachments.items() if k.endswith(".sigstore")]
        claimed = manifest["dist"]
        restricted = ACCESS[body.get("access")]
        consistent = {body["name"], body["_id"], manifest["name"]} == {name} and manifest["version"] == number
    except (ValueError, LookupError, TypeError, AttributeError, binascii.Error) as exc:
        raise refusal(400, f"invalid publish document: {exc}") from None
    if not consistent or not semver.Version.is_valid(number):
        raise refusal(400, "invalid publish document: name or version disagree")
    if not tags or any(version != number or re.fullmatch(r"v?\d+(\.\d+)*", tag) for tag, version in tags.items()):
        raise refusal(400, "invalid publish document: dist-tags must be words for the published version")
    dist = digests(tarball)
    if attached.get("length") != len(tarball) or any(claimed.get(k) != v for k, v in dist.items()):
        raise refusal(400, "invalid publish document: tarball does not match its digests or length")
    return Document(name, number, manifest, tags, tarball, dist, bundles[0] if bundles else None, restricted)


def check_provenance(document: Document) -> None:
    """A bundle must be about these bytes and built from the ``repository.url`` of package.json; else 422.

    Its signature is not verified here.
    """
    if document.provenance is None:
        return
    try:
        statement = json.loads(base64.b64decode(document.provenance["dsseEnvelope"]["payload"]))
        (subject,) = statement["subject"]
        parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
        source = str(parameters["workflow"]["repository"])
        named = (subject["name"], subject["digest"]["sha512"])
    except (ValueError, LookupError, TypeError) as exc:
        raise refusal(422, f"Error verifying sigstore provenance bundle: {exc}") from None
    if named != (_purl(document.name, document.version), hashlib.sha512(document.tarball).hexdigest()):
        raise refusal(422, "Error verifying sigstore provenance bundle: subject is not the published tarball")
    said = document.manifest.get("repository") or ""
    url = str(said.get("url", "") if isinstance(said, dict) else said)
    if url.removeprefix("git+").removesuffix(".git") != source:
        raise refusal(
            422,
            "Error verifying sigstore provenance bundle: Failed to validate repository information: package.json: "
            f'"repository.url" is "{url}", expected to match "{source}" from provenance',
        )


def _purl(name: str, version: str) -> str:
    return f"pkg:npm/{quote(name, safe='/')}@{version}"
