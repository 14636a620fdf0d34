"""Staged publishing at the rehearsal's npm: a version waits, invisible, until a person with a second factor approves.

Outcomes and wording follow npm/api-documentation api/registry.npmjs.com/stage.yaml and npm's page on ``npm stage``.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releaser.rehearsal import npm_document
from releaser.rehearsal.npm_document import Document, refusal
from releaser.rehearsal.npm_packages import MAINTAINER, Grant, Packages, timestamp
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, route

STAGE = "createStagedPackage"
"""The permission of a trusted publisher that may stage."""

PER_PAGE, MOST_PER_PAGE = 10, 100


@dataclass(frozen=True, slots=True)
class Staged:
    """A version that waits; ``minted`` when a trusted publisher put it there."""

    id: str
    document: Document
    restricted: bool
    created: float
    minted: bool

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "packageName": self.document.name,
            "version": self.document.version,
            "tag": next(iter(self.document.tags)),
            "createdAt": timestamp(self.created),
            "actor": "GitHub Actions" if self.minted else MAINTAINER,
            "actorType": "trusted automation" if self.minted else "user",
            "access": "private" if self.restricted else "public",
            "shasum": self.document.dist["shasum"],
        }


class Stage(Packages):
    """The staging area. ``otp`` is the one-time password of the person who owns every package."""

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self.otp = f"{secrets.randbelow(10**6):06}"
        self._staged: dict[str, Staged] = {}

    @route("POST", "/-/stage/package/{name}", "stage")
    def stage(self, request: Request) -> Response:
        """Take a publish document for a package that exists; its tag and its number are taken from now on."""
        name = request.params["name"]
        grant = None if self._is_person(request) else self._grant_or_unauthorized(request)
        with self.lock:
            package = self._packages.get(name)
            if package is None or (grant is not None and grant.package != name):
                raise refusal(404, "Not Found - The specified package does not exist.")
            if grant is not None and STAGE not in grant.permissions:
                raise denied()
            document = npm_document.parse(request, name)
            if self._is_taken(name, document.version):
                raise refusal(409, "Conflict - The request could not be completed due to a conflict.")
            npm_document.check_provenance(document)
            restricted = package.restricted if document.restricted is None else document.restricted
            staged = Staged(str(uuid.uuid4()), document, restricted, self.now(), grant is not None)
            self._staged[staged.id] = staged
        return Response.json({"message": "Package version staged successfully.", "stageId": staged.id}, status=201)

    @route("GET", "/-/stage", "stage-list")
    def stage_list(self, request: Request) -> Response:
        """What waits, newest first."""
        self._demand_person(request)
        wanted = request.query.get("package")
        page = int(request.query.get("page", 0))
        size = min(int(request.query.get("perPage", PER_PAGE)), MOST_PER_PAGE)
        with self.lock:
            items = [s.describe() for s in reversed(self._staged.values()) if wanted in (None, s.document.name)]
        shown = items[page * size : (page + 1) * size]
        return Response.json({"items": shown, "page": page, "perPage": size, "total": len(items)})

    @route("GET", "/-/stage/{id}", "stage-view")
    def stage_view(self, request: Request) -> Response:
        self._demand_person(request)
        with self.lock:
            return Response.json(self._waiting(request).describe())

    @route("GET", "/-/stage/{id}/tarball", "stage-tarball")
    def stage_tarball(self, request: Request) -> Response:
        self._demand_person(request)
        with self.lock:
            tarball = self._waiting(request).document.tarball
        return Response(body=tarball, content_type="application/octet-stream")

    @route("POST", "/-/stage/{id}/approve", "stage-approve")
    def stage_approve(self, request: Request) -> Response:
        """Publish what waits, under the tag it was staged with."""
        self._demand_second_factor(request)
        with self.lock:
            staged = self._waiting(request)
            del self._staged[staged.id]
            self._store(staged.document, created=self.now(), shown_at=self.now() + self.index_lag)
        return Response.json({"message": "Package version approved and published successfully."}, status=201)

    @route("DELETE", "/-/stage/{id}", "stage-reject")
    def stage_reject(self, request: Request) -> Response:
        """Drop what waits; its number is free again."""
        self._demand_second_factor(request)
        with self.lock:
            del self._staged[self._waiting(request).id]
        return Response(204)

    def _is_taken(self, name: str, version: str) -> bool:
        """Whether *version* is published, was, or waits: they share one index."""
        package = self._packages.get(name)
        return (package is not None and (version in package.versions or version in package.burned)) or any(
            (s.document.name, s.document.version) == (name, version) for s in self._staged.values()
        )

    def _waiting(self, request: Request) -> Staged:
        staged = self._staged.get(request.params["id"])
        if staged is None:
            raise refusal(404, "Not Found - No staged package version found with the provided ID.")
        return staged

    def _grant_or_unauthorized(self, request: Request) -> Grant:
        grant = self._grant(request)
        if grant is None:
            raise refusal(401, "Unauthorized")
        return grant

    def _demand_person(self, request: Request) -> None:
        """Minted tokens stage and publish, and look at nothing."""
        if not self._is_person(request):
            raise refusal(401, "Unauthorized")

    def _demand_second_factor(self, request: Request) -> None:
        if not self._is_person(request):
            self._grant_or_unauthorized(request)
            raise refusal(403, "Insufficient permissions to access this resource")
        if not hmac.compare_digest(request.header("npm-otp").encode(), self.otp.encode()):
            raise refusal(401, "Unauthorized", WWW_Authenticate="OTP")


def denied() -> Refused:
    """A minted token asks for what its trusted publisher does not permit."""
    return refusal(403, "OIDC permission denied for this action")
