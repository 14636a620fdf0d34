"""Files of releases in the rehearsal's GitHub: upload, rename, delete, and the addresses to download them from.

Statuses and messages follow GitHub's REST reference (release assets) and its page on immutable releases.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import replace

from releaser.rehearsal.github_accounts import Access
from releaser.rehearsal.github_releases import Asset, Release, Releases
from releaser.rehearsal.github_wire import NOT_FOUND, body_of, error, invalid, number, text, unprocessable
from releaser.rehearsal.server import CHUNK, Refused, Request, Response, route

UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")
NO_UPLOAD = "Cannot upload assets to an immutable release"
NO_EDIT = "Cannot update asset from an immutable release"
NO_DELETE = "Cannot delete asset from an immutable release"


class Assets(Releases):
    """Uploads and downloads."""

    @route("POST", "/uploads/repos/{owner}/{repo}/releases/{release}/assets", "upload-asset")
    def upload_asset(self, request: Request) -> Response:
        access = self.open(request, "write")
        if not request.header("content-length").isdecimal():
            return error(400, "Bad Content-Length: ")
        release = self._release(access, number(request, "release"))
        if request.length == 0:
            raise invalid("ReleaseAsset", "custom", "size", "size must be greater than or equal to 1")
        key, digest = secrets.token_hex(16), hashlib.sha256()
        with (self.objects / key).open("wb") as out:
            request.body.seek(0)
            while chunk := request.body.read(CHUNK):
                digest.update(chunk)
                out.write(chunk)
        try:
            asset = self._add_asset(access, release, request, key, f"sha256:{digest.hexdigest()}")
        except Refused:
            (self.objects / key).unlink()
            raise
        return Response.json(self.asset_json(asset), status=201)

    def _add_asset(self, access: Access, release: Release, request: Request, key: str, digest: str | None) -> Asset:
        """Register the bytes at *key*; without a *digest* it is what an upload that failed leaves."""
        sent = request.query.get("name", "")
        if not sent:
            raise invalid("ReleaseAsset", "missing_field", "name")
        with self.lock:
            release = self._release(access, release.id)
            if release.immutable:
                raise unprocessable(NO_UPLOAD)
            name = self._free_name(release, sent)
            asset = Asset(
                id=self.next_id(),
                release=release.id,
                name=name,
                label=request.query.get("label", ""),
                state="uploaded" if digest else "starter",
                content_type=request.header("content-type") or "application/octet-stream",
                size=request.length if digest else 0,
                digest=digest,
                uploader=access.user,
                created_at=self.now(),
                key=key,
            )
            self._assets[asset.id] = asset
        return asset

    def _free_name(self, release: Release, sent: str) -> str:
        """*sent* as GitHub spells it; 422 when the release has a file of that name."""
        name = UNUSUAL.sub(".", sent)
        if any(asset.name == name for asset in self._assets_of(release)):
            raise invalid("ReleaseAsset", "already_exists", "name")
        return name

    def left_behind(self, operation: str, request: Request, status: int) -> None:
        """An upload that the gateway gave up on (502) leaves an empty asset in state ``starter``."""
        if operation != f"{self.name}.upload-asset" or status != 502:
            return
        try:
            access = self.open(request, "write")
            release = self._release(access, number(request, "release"))
            self._add_asset(access, release, request, secrets.token_hex(16), None)
        except Refused:
            return

    def _asset(self, access: Access, identity: int) -> tuple[Release, Asset]:
        found = self._assets.get(identity)
        if found is None:
            raise Refused(NOT_FOUND)
        return self._release(access, found.release), found

    @route("GET", "/repos/{owner}/{repo}/releases/{release}/assets", "list-assets")
    def list_assets(self, request: Request) -> Response:
        release = self._release(self.open(request), number(request, "release"))
        return self.page(request, self._assets_of(release), self.asset_json)

    @route("GET", "/repos/{owner}/{repo}/releases/assets/{asset}", "get-asset")
    def get_asset(self, request: Request) -> Response:
        _, asset = self._asset(self.open(request), number(request, "asset"))
        if request.header("accept") == "application/octet-stream":
            return self._redirect(asset)
        return Response.json(self.asset_json(asset))

    @route("PATCH", "/repos/{owner}/{repo}/releases/assets/{asset}", "update-asset")
    def update_asset(self, request: Request) -> Response:
        access, body = self.open(request, "write"), body_of(request)
        with self.lock:
            release, asset = self._asset(access, number(request, "asset"))
            if release.immutable:
                raise unprocessable(NO_EDIT)
            name = text(body, "name", asset.name)
            renamed = asset.name if name == asset.name else self._free_name(release, name)
            asset = replace(asset, name=renamed, label=text(body, "label", asset.label))
            self._assets[asset.id] = asset
        return Response.json(self.asset_json(asset))

    @route("DELETE", "/repos/{owner}/{repo}/releases/assets/{asset}", "delete-asset")
    def delete_asset(self, request: Request) -> Response:
        access = self.open(request, "write")
        with self.lock:
            release, asset = self._asset(access, number(request, "asset"))
            if release.immutable:
                raise unprocessable(NO_DELETE)
            self._drop(asset)
        return Response(status=204)

    # Downloading

    def _redirect(self, asset: Asset) -> Response:
        if asset.state != "uploaded":
            return NOT_FOUND
        return Response(status=302, headers={"Location": f"{self.url}/objects/{asset.key}/{asset.name}"})

    @route("HEAD", "/{owner}/{repo}/releases/download/{tag*}/{name}", "download")
    @route("GET", "/{owner}/{repo}/releases/download/{tag*}/{name}", "download")
    def download(self, request: Request) -> Response:
        access = self.access(f"{request.params['owner']}/{request.params['repo']}", self.viewer(request))
        if access is None or not access.may("read"):
            return NOT_FOUND
        release = self._tagged(access.repository, request.params["tag"])
        assets = self._assets_of(release) if release else []
        found = next((asset for asset in assets if asset.name == request.params["name"]), None)
        return NOT_FOUND if found is None else self._redirect(found)

    @route("HEAD", "/objects/{key}/{name}", "object")
    @route("GET", "/objects/{key}/{name}", "object")
    def get_object(self, request: Request) -> Response:
        found = next((asset for asset in list(self._assets.values()) if asset.key == request.params["key"]), None)
        if found is None:
            return NOT_FOUND
        headers = {"Content-Disposition": f"attachment; filename={found.name}"}
        return Response(body=self.objects / found.key, content_type="application/octet-stream", headers=headers)
