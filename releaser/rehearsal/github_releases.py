"""Releases of the rehearsal's GitHub: drafts, publication, the tag that publication makes, immutability.

Statuses and messages follow GitHub's REST reference (releases) and its page on immutable releases.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from releaser.rehearsal.github_accounts import Access, Repository, User
from releaser.rehearsal.github_git import GitData
from releaser.rehearsal.github_wire import (
    NOT_FOUND,
    body_of,
    created,
    error,
    flag,
    invalid,
    node_id,
    number,
    text,
    unprocessable,
)
from releaser.rehearsal.gitrepo import SHA
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, route

BODY_LIMIT = 125_000
NOTED = 100


@dataclass(frozen=True, slots=True)
class Release:
    """A release; ``secret`` is the part of a draft's address that nobody can guess."""

    id: int
    repository: Repository
    author: User
    created_at: str
    secret: str
    tag_name: str
    target_commitish: str
    name: str | None
    body: str
    draft: bool
    prerelease: bool
    immutable: bool = False
    published_at: str | None = None

    @property
    def slug(self) -> str:
        return f"untagged-{self.secret}" if self.draft else self.tag_name


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of a release: ``state`` is ``uploaded``, or ``starter`` for what a failed upload left.

    ``key`` is its unguessable address, and the name of the file under ``objects`` that holds its bytes.
    """

    id: int
    release: int
    name: str
    label: str
    state: str
    content_type: str
    size: int
    digest: str | None
    uploader: User
    created_at: str
    key: str


class Releases(GitData):
    """Releases, and the records of their assets."""

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self.objects = root / "objects"
        self.objects.mkdir()
        self._releases: dict[int, Release] = {}
        self._assets: dict[int, Asset] = {}
        self._latest: dict[int, int] = {}
        self._burnt: set[tuple[int, str]] = set()

    # Finding

    def _published(self, repository: Repository) -> list[Release]:
        return [r for r in self._of(repository) if not r.draft]

    def _of(self, repository: Repository) -> list[Release]:
        """All releases of *repository*, newest first."""
        return [r for r in list(self._releases.values())[::-1] if r.repository is repository]

    def _tagged(self, repository: Repository, tag: str) -> Release | None:
        return next((r for r in self._published(repository) if r.tag_name == tag), None)

    def _release(self, access: Access, identity: int) -> Release:
        """The release *identity*; a draft only for those who may push."""
        found = self._releases.get(identity)
        if found is None or found.repository is not access.repository or (found.draft and not access.may("write")):
            raise Refused(NOT_FOUND)
        return found

    def _assets_of(self, release: Release) -> list[Asset]:
        return [asset for asset in list(self._assets.values()) if asset.release == release.id]

    def _drop(self, asset: Asset) -> None:
        (self.objects / asset.key).unlink(missing_ok=True)
        del self._assets[asset.id]

    # Shapes

    def release_json(self, release: Release) -> dict[str, Any]:
        repository = release.repository
        api = self.api(repository, f"/releases/{release.id}")
        ball = "" if release.draft else quote(release.tag_name)
        return {
            "url": api,
            "assets_url": f"{api}/assets",
            "upload_url": f"{api.replace('/repos/', '/uploads/repos/', 1)}/assets{{?name,label}}",
            "html_url": self.html(repository, f"/releases/tag/{quote(release.slug)}"),
            "id": release.id,
            "node_id": node_id("Release", release.id),
            "author": self.user_json(release.author),
            "tag_name": release.tag_name,
            "target_commitish": release.target_commitish,
            "name": release.name,
            "body": release.body,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "immutable": release.immutable,
            "created_at": release.created_at,
            "updated_at": release.published_at or release.created_at,
            "published_at": release.published_at,
            "assets": [self.asset_json(asset) for asset in self._assets_of(release)],
            "tarball_url": self.api(repository, f"/tarball/{ball}") if ball else None,
            "zipball_url": self.api(repository, f"/zipball/{ball}") if ball else None,
        }

    def asset_json(self, asset: Asset) -> dict[str, Any]:
        release = self._releases[asset.release]
        path = f"/releases/download/{quote(release.slug)}/{asset.name}"
        return {
            "url": self.api(release.repository, f"/releases/assets/{asset.id}"),
            "id": asset.id,
            "node_id": node_id("ReleaseAsset", asset.id),
            "name": asset.name,
            "label": asset.label,
            "uploader": self.user_json(asset.uploader),
            "content_type": asset.content_type,
            "state": asset.state,
            "size": asset.size,
            "digest": asset.digest,
            "download_count": 0,
            "created_at": asset.created_at,
            "updated_at": asset.created_at,
            "browser_download_url": self.html(release.repository, path),
        }

    # Reading

    @route("GET", "/repos/{owner}/{repo}/releases", "list-releases")
    def list_releases(self, request: Request) -> Response:
        access = self.open(request)
        shown = self._of(access.repository) if access.may("write") else self._published(access.repository)
        return self.page(request, shown, self.release_json)

    @route("GET", "/repos/{owner}/{repo}/releases/{release}", "get-release")
    def get_release(self, request: Request) -> Response:
        return Response.json(self.release_json(self._release(self.open(request), number(request, "release"))))

    @route("GET", "/repos/{owner}/{repo}/releases/tags/{tag*}", "get-release-by-tag")
    def get_release_by_tag(self, request: Request) -> Response:
        found = self._tagged(self.open(request).repository, request.params["tag"])
        return NOT_FOUND if found is None else Response.json(self.release_json(found))

    @route("GET", "/repos/{owner}/{repo}/releases/latest", "get-latest-release")
    def get_latest_release(self, request: Request) -> Response:
        found = self._latest_of(self.open(request).repository)
        return NOT_FOUND if found is None else Response.json(self.release_json(found))

    def _latest_of(self, repository: Repository) -> Release | None:
        """The one made latest, or else the one with the newest commit; never a prerelease."""
        stable = [r for r in self._published(repository) if not r.prerelease]
        chosen = self._latest.get(repository.id)

        def age(release: Release) -> str:
            commit = repository.git.commit_of(f"refs/tags/{release.tag_name}")
            return repository.git.commit(commit).committer.date if commit else ""

        return next((r for r in stable if r.id == chosen), max(stable, key=age, default=None))

    # Writing

    @route("POST", "/repos/{owner}/{repo}/releases", "create-release")
    def create_release(self, request: Request) -> Response:
        access = self.open(request, "write")
        body = body_of(request)
        tag = text(body, "tag_name")
        with self.lock:
            blank = Release(
                id=self.next_id(),
                repository=access.repository,
                author=access.user,
                created_at=self.now(),
                secret=secrets.token_hex(10),
                tag_name=tag,
                target_commitish=access.repository.default_branch,
                name=None,
                body="",
                draft=True,
                prerelease=False,
            )
            release = self._edited(blank, {"draft": False, **body})
            if flag(body, "generate_release_notes", False):
                _, notes = self._notes(access.repository, tag, release.target_commitish, "")
                release = replace(release, body=f"{release.body}\n\n{notes}".strip(), name=release.name or tag)
            self._store(release, body, newly=not release.draft)
        return created(self.release_json(release))

    @route("PATCH", "/repos/{owner}/{repo}/releases/{release}", "update-release")
    def update_release(self, request: Request) -> Response:
        access = self.open(request, "write")
        body = body_of(request)
        with self.lock:
            old = self._release(access, number(request, "release"))
            release = self._edited(old, body)
            self._store(release, body, newly=old.draft and not release.draft)
        return Response.json(self.release_json(release))

    @route("DELETE", "/repos/{owner}/{repo}/releases/{release}", "delete-release")
    def delete_release(self, request: Request) -> Response:
        access = self.open(request, "write")
        with self.lock:
            release = self._release(access, number(request, "release"))
            for asset in self._assets_of(release):
                self._drop(asset)
            del self._releases[release.id]
        return Response(status=204)

    def _edited(self, old: Release, body: dict[str, Any]) -> Release:
        """*old* with the fields of *body*, checked; when it is public, so is its tag."""
        repository = old.repository
        release = replace(
            old,
            tag_name=text(body, "tag_name", old.tag_name),
            target_commitish=text(body, "target_commitish", old.target_commitish),
            name=text(body, "name", old.name or "") or None,
            body=text(body, "body", old.body),
            draft=flag(body, "draft", old.draft),
            prerelease=flag(body, "prerelease", old.prerelease),
        )
        if text(body, "make_latest", "legacy") not in ("true", "false", "legacy"):
            raise unprocessable("Invalid request.\n\nmake_latest is none of true, false, legacy.")
        frozen = ("tag_name", "target_commitish", "draft")
        if old.immutable and any(getattr(old, name) != getattr(release, name) for name in frozen):
            raise unprocessable("Cannot change the tag of an immutable release")
        if len(release.body) > BODY_LIMIT:
            raise invalid("Release", "custom", "body", f"body is too long (maximum is {BODY_LIMIT} characters)")
        ref = f"refs/tags/{release.tag_name}"
        if not repository.git.is_ref_name(ref):
            raise invalid("Release", "custom", "tag_name", "tag_name is not a valid tag")
        if not repository.git.refs():
            raise invalid("Release", "custom", message="Repository is empty.")
        missing = repository.git.ref(ref) is None
        target = self._target(repository, release.target_commitish)
        if missing and target is None:
            raise invalid("Release", "invalid", "target_commitish")
        if release.draft:
            return replace(release, published_at=None)
        known = self._tagged(repository, release.tag_name)
        if known is not None and known.id != release.id:
            raise invalid("Release", "already_exists", "tag_name")
        if (repository.id, release.tag_name) in self._burnt and not old.immutable:
            raise invalid("Release", "custom", "tag_name", "tag_name was used by an immutable release")
        if missing and target:
            repository.git.move(ref, target, None)
        if not old.draft:
            return release
        return replace(release, published_at=self.now(), immutable=repository.immutable)

    def _target(self, repository: Repository, commitish: str) -> str | None:
        """The commit of a branch or of a full SHA; nothing else is a ``target_commitish``."""
        if SHA.match(commitish):
            return commitish if repository.git.kind(commitish) == "commit" else None
        branch = repository.git.ref(f"refs/heads/{commitish}")
        return branch.sha if branch else None

    def _store(self, release: Release, body: dict[str, Any], newly: bool) -> None:
        """Keep *release*, and move what counts as latest; a newly public one does so unless told otherwise."""
        wanted = text(body, "make_latest", "true" if newly else "")
        self._releases[release.id] = release
        if wanted == "true" and not release.draft and not release.prerelease:
            self._latest[release.repository.id] = release.id
        elif wanted == "legacy":
            self._latest.pop(release.repository.id, None)
        if release.immutable:
            self._burnt.add((release.repository.id, release.tag_name))

    @route("POST", "/repos/{owner}/{repo}/releases/generate-notes", "generate-notes")
    def generate_notes(self, request: Request) -> Response:
        repository = self.open(request, "write").repository
        body = body_of(request)
        target = text(body, "target_commitish", repository.default_branch)
        name, notes = self._notes(repository, text(body, "tag_name"), target, text(body, "previous_tag_name", ""))
        return Response.json({"name": name, "body": notes})

    def _notes(self, repository: Repository, tag: str, target: str, previous: str) -> tuple[str, str]:
        """Name and text of generated notes: the commits since *previous*, by default since the latest release."""
        head = repository.git.commit_of(f"refs/tags/{tag}") or self._target(repository, target)
        if head is None:
            raise Refused(error(400, "Invalid target_commitish parameter"))
        latest = self._latest_of(repository)
        previous = previous or (latest.tag_name if latest and latest.tag_name != tag else "")
        base = repository.git.commit_of(f"refs/tags/{previous}") if previous else None
        if previous and base is None:
            raise Refused(error(400, "Invalid previous_tag parameter"))
        lines = ["## What's Changed"]
        for sha in repository.git.log(base, head, NOTED):
            commit = repository.git.commit(sha)
            lines.append(f"* {commit.message.partition(chr(10))[0]} by @{commit.author.name}")
        span = f"/compare/{previous}...{tag}" if previous else f"/commits/{tag}"
        lines += ["", "", f"**Full Changelog**: {self.html(repository, span)}"]
        return tag, "\n".join(lines)
