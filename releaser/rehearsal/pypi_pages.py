"""What readers of the rehearsal Python index see of a file: simple pages in JSON and HTML, and the JSON API.

Shapes follow PEP 691, PEP 700, PEP 714, PEP 740 and warehouse docs/user/api/{index-api,json}.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from packaging.utils import canonicalize_name, canonicalize_version

from releaser.rehearsal.server import Request, Response, revalidate

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
PLAIN_TYPE = "text/html; charset=UTF-8"
API_VERSION = "1.3"  # that of PEP 740, whose ``provenance`` is the newest key
SERIAL = "X-PyPI-Last-Serial"


@dataclass(frozen=True, slots=True)
class File:
    """One stored file; ``shown_at`` is when readers begin to see it, both times in seconds since the epoch."""

    filename: str
    version: str
    packagetype: str
    size: int
    digests: dict[str, str]
    requires_python: str
    metadata_sha256: str | None
    uploaded: float
    shown_at: float
    provenance: dict[str, Any] | None = None


@dataclass(slots=True)
class Release:
    """Fixed by its first file; ``requires_python`` and ``summary`` are never amended."""

    version: str
    created: float
    requires_python: str
    summary: str


@dataclass(slots=True)
class Project:
    """One project; ``releases`` by canonical version, trailing zeros stripped; ``serial`` is of its last change."""

    name: str
    shown_at: float
    releases: dict[str, Release] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    serial: int = 0


def meta(serial: int) -> dict[str, Any]:
    """``meta`` of every simple page; *serial* counts the changes of the whole index."""
    return {"api-version": API_VERSION, "_last-serial": serial}


def simple_entry(base: str, name: str, file: File) -> dict[str, Any]:
    """One of ``files`` in a project's simple page; *base* is the index's address."""
    metadata = {"sha256": file.metadata_sha256} if file.metadata_sha256 else False
    provenance = f"{base}/integrity/{name}/{file.version}/{file.filename}/provenance"
    return {
        "filename": file.filename,
        "url": f"{base}/files/{file.filename}",
        "hashes": {"sha256": file.digests["sha256"]},
        "size": file.size,
        "upload-time": _timestamp(file.uploaded),
        "requires-python": file.requires_python or None,
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
        "yanked": False,
        "provenance": provenance if file.provenance else None,
    }


def anchor(entry: dict[str, Any]) -> str:
    """The HTML form of a ``simple_entry``."""
    attributes = ""
    if entry["requires-python"]:
        attributes += f' data-requires-python="{escape(entry["requires-python"])}"'
    if entry["core-metadata"]:
        attributes += f' data-core-metadata="sha256={entry["core-metadata"]["sha256"]}"'
    if entry["provenance"]:
        attributes += f' data-provenance="{entry["provenance"]}"'
    return f'<a href="{entry["url"]}#sha256={entry["hashes"]["sha256"]}"{attributes}>{entry["filename"]}</a><br>\n'


def urls(base: str, files: Iterable[File]) -> list[dict[str, Any]]:
    """``urls`` of the JSON API."""
    return [
        {
            "filename": f.filename,
            "packagetype": f.packagetype,
            "url": f"{base}/files/{f.filename}",
            "size": f.size,
            "digests": f.digests,
            "requires_python": f.requires_python or None,
            "upload_time_iso_8601": _timestamp(f.uploaded),
            "yanked": False,
            "yanked_reason": None,
        }
        for f in files
    ]


def json_page(
    base: str, request: Request, project: Project, version: str, files: Collection[File], *, releases: bool = False
) -> Response:
    """One version in the JSON API, of *files* those that are its; with all *releases* it is the project's page.

    A name that is spelt otherwise leads to the normal one (warehouse legacy/api/json.py).
    """
    name, asked = canonicalize_name(project.name), request.params["project"]
    if asked != name:
        return Response(301, headers={"Location": request.path.replace(f"/pypi/{asked}/", f"/pypi/{name}/")})
    release = project.releases[canonicalize_version(version)]
    by_version = {f.version: [g for g in files if g.version == f.version] for f in files}
    document = {
        "info": {
            "name": project.name,
            "version": release.version,
            "summary": release.summary,
            "requires_python": release.requires_python or None,
            "yanked": False,
        },
        "urls": urls(base, by_version[release.version]),
        "vulnerabilities": [],
        "last_serial": project.serial,
    }
    if releases:
        document["releases"] = {version: urls(base, own) for version, own in by_version.items()}
    body = json.dumps(document).encode()
    return revalidate(request, Response(body=body, headers={SERIAL: str(project.serial)}))


def negotiate(request: Request, document: dict[str, Any], anchors: str) -> Response:
    """*document* as JSON or *anchors* as HTML, whichever ``Accept`` likes best; plain HTML when it likes neither."""
    chosen = _preferred(request.header("accept"))
    if chosen == JSON_TYPE:
        body = json.dumps(document)
    else:
        head = f'<meta name="pypi:repository-version" content="{API_VERSION}">'
        body = f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{anchors}</body></html>\n"
    headers = {"Vary": "Accept", SERIAL: str(document["meta"]["_last-serial"])}
    return revalidate(request, Response(body=body.encode(), content_type=chosen, headers=headers))


def _preferred(accept: str) -> str:
    """The offered type with the highest quality, the first among equals; ``*/*`` is plain HTML."""
    qualities = dict.fromkeys((PLAIN_TYPE, HTML_TYPE, JSON_TYPE), 0.0)
    for item in accept.split(","):
        media, _, parameters = item.partition(";")
        quality = float(parameters.strip().removeprefix("q=") or 1)
        offered = PLAIN_TYPE if media.strip() in ("*/*", "text/html") else media.strip()
        if offered in qualities:
            qualities[offered] = max(qualities[offered], quality)
    return max(qualities, key=lambda offered: qualities[offered])


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
