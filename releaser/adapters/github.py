"""GitHub as the home of a repository: its tag, checks and files, its releases, and the people who vote on them.

Calls and fields: GitHub's REST reference (releases, release assets, git database, checks, commit statuses, teams,
collaborators).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urlencode

from releaser.adapters.github_errors import unreadable
from releaser.adapters.github_freeze import Freezes
from releaser.adapters.github_refs import READ, WRITE, Object, Refs
from releaser.adapters.github_rest import LIMITS, Rest, Shape, shaped
from releaser.adapters.http import Limits
from releaser.engine.ports import Asset, Release, RepositoryFacts
from releaser.errors import ConfigError, ConflictError, ExternalError
from releaser.model.approval import Voter
from releaser.model.facts import CheckState, Freeze, Tag
from releaser.model.manifest import Person
from releaser.policy.case import path_match

if TYPE_CHECKING:
    import httpx

CHUNK = 1 << 20
NESTED_TAGS = 10
ACTIONS = Person(id=41898282, login="github-actions[bot]")
"""Who acts with an Actions job's own token, which may not ask for its name."""
RANKS = {"write": 1, "maintain": 2, "admin": 3}
CONCLUSIONS = {"success": CheckState.SUCCESS, "skipped": CheckState.SKIPPED, "neutral": CheckState.SKIPPED}
STATUSES = {"success": CheckState.SUCCESS, "pending": CheckState.PENDING}
LAST = datetime.max.replace(tzinfo=UTC)


class _User(Shape):
    id: int
    login: str
    type: str = ""
    email: str | None = None


_GHOST = _User(id=0, login="ghost")


class _Asset(Shape):
    id: int
    name: str
    size: int
    state: str
    digest: str | None = None
    uploader: _User | None = None
    created_at: datetime
    browser_download_url: str = ""


class _Release(Shape):
    id: int
    tag_name: str
    name: str | None = None
    body: str | None = None
    draft: bool
    prerelease: bool
    assets: tuple[_Asset, ...]
    html_url: str
    upload_url: str


class _Repository(Shape):
    id: int
    full_name: str
    default_branch: str


class _Tagger(Shape):
    email: str = ""


class _TagObject(Shape):
    object: Object
    tagger: _Tagger = _Tagger()


class _Comparison(Shape):
    status: str


_WORST = (CheckState.SUCCESS, CheckState.SKIPPED, CheckState.PENDING, CheckState.FAILURE)


class _App(Shape):
    id: int


class _CheckRun(Shape):
    id: int
    name: str
    app: _App | None = None
    status: str
    conclusion: str | None = None
    started_at: datetime | None = None


class _Status(Shape):
    id: int
    context: str
    state: str
    updated_at: datetime


class _Permission(Shape):
    permission: str = "none"
    role_name: str = "none"


class _Membership(Shape):
    state: str


class GitHub:
    """The forge. ``sleep`` takes seconds; ``transport`` replaces the network. Safe to use from many threads."""

    def __init__(
        self,
        repository: str,
        token: str,
        api_url: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        limits: Limits = LIMITS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._rest = Rest(repository, token, api_url, sleep=sleep, limits=limits, transport=transport)
        self._refs = Refs(self._rest)
        self._freezes = Freezes(self._refs)

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def time(self) -> datetime:
        """GitHub's clock in UTC, by the ``Date`` of its latest answer; asks for one where there was none."""
        if self._rest.date is None:
            self.repository()
        if self._rest.date is None:
            raise unreadable("no Date in the answer")
        return self._rest.date

    # The repository

    def repository(self) -> RepositoryFacts:
        found = self._rest.read(self._rest.repo(), "metadata: read", absent=()).read(_Repository)
        return RepositoryFacts(found.id, found.full_name, found.default_branch)

    def tag(self, name: str) -> Tag | None:
        ref = self._refs.find(f"tags/{name}")
        if ref is None:
            return None
        target, tagger, depth = ref.object, "", 0
        while target.type == "tag" and depth < NESTED_TAGS:
            answer = self._rest.read(self._rest.repo(f"git/tags/{quote(target.sha)}"), READ, absent=())
            found = answer.read(_TagObject)
            target, tagger, depth = found.object, tagger or found.tagger.email, depth + 1
        if target.type != "commit":
            raise ExternalError(
                "tag-not-a-commit",
                "the tag does not lead to a commit",
                retryable=False,
                object=name,
                found=target.type,
                wanted="commit",
                hint="delete the tag and make it again on the commit to release",
            )
        return Tag(name, ref.object.sha, target.sha, ref.object.type == "tag", tagger)

    def commit_of(self, branch: str) -> str:
        """The commit at the tip of *branch*; raises ExternalError ``branch-missing``."""
        ref = self._refs.find(f"heads/{branch}")
        if ref is None:
            raise ExternalError(
                "branch-missing",
                "the repository has no such branch",
                retryable=False,
                object=branch,
                hint="name a branch that exists",
            )
        return ref.object.sha

    def file(self, path: str, ref: str) -> bytes | None:
        found = self._rest.contents(path, ref)
        return found if isinstance(found, bytes) else None

    def checks(self, commit: str) -> Mapping[str, CheckState]:
        base = self._rest.repo(f"commits/{quote(commit)}")
        # Names are free for all, so each giver's newest word counts, and the worst of them (T8).
        seen: list[tuple[datetime, int, tuple[str, int], CheckState]] = []
        for item in self._rest.pages(f"{base}/check-runs", "checks: read", "check_runs", {"filter": "latest"}):
            run = shaped(_CheckRun, item)
            # A run that has not started is newer than any that has.
            seen.append((run.started_at or LAST, run.id, (run.name, run.app.id if run.app else 0), _run_state(run)))
        for item in self._rest.pages(f"{base}/status", "statuses: read", "statuses"):
            status = shaped(_Status, item)
            state = STATUSES.get(status.state, CheckState.FAILURE)
            seen.append((status.updated_at, status.id, (status.context, -1), state))
        newest = {giver: state for _, _, giver, state in sorted(seen, key=lambda s: s[:2])}
        ordered = sorted(newest.items(), key=lambda item: _WORST.index(item[1]))
        return {name: state for (name, _), state in ordered}

    def branches_with(self, commit: str, patterns: Sequence[str]) -> tuple[str, ...]:
        for pattern in patterns:
            for branch, tip in self._branches(pattern):
                if self._contains(tip, commit):
                    return (branch,)
        return ()

    def _branches(self, pattern: str) -> Iterator[tuple[str, str]]:
        """The branches whose names match *pattern*, each with the commit at its tip."""
        wild = re.search(r"[*?\[]", pattern)
        if wild:
            refs = self._refs.matching(f"heads/{pattern[: wild.start()]}")
        else:
            found = self._refs.find(f"heads/{pattern}")
            refs = (found,) if found else ()
        for ref in refs:
            branch = ref.ref.removeprefix("refs/heads/")
            if path_match(branch, pattern):
                yield branch, ref.object.sha

    def _contains(self, tip: str, commit: str) -> bool:
        """Whether *commit* is *tip* or comes before it; 404 says that they have nothing in common."""
        path = self._rest.repo(f"compare/{quote(tip)}...{quote(commit)}")
        answer = self._rest.read(path, READ, params={"per_page": "1"})
        return answer.status == 200 and answer.read(_Comparison).status in ("identical", "behind")

    def freeze_of(self, tag: str) -> Freeze | None:
        return self._freezes.of(tag)

    def freeze(self, tag: str | None, reason: str) -> Freeze:
        """Hold *tag*, or every release, back; the freeze that stands now, which may have been there before."""
        return self._freezes.add(tag, reason)

    def thaw(self, tag: str | None) -> bool:
        """End the freeze of *tag*, or that of every release; False when there was none."""
        return self._freezes.remove(tag)

    # Releases

    def releases(self, tag: str) -> tuple[Release, ...]:
        # Only the whole list has drafts; by tag the API finds published releases.
        return tuple(_release(release) for release in self._listed() if release.tag_name == tag)

    def released(self) -> tuple[str, ...]:
        return tuple(release.tag_name for release in self._listed() if not release.draft)

    def _listed(self) -> Sequence[_Release]:
        """Every release, oldest first. By their numbers, since pages shift when one is made meanwhile."""
        items = (shaped(_Release, item) for item in self._rest.pages(self._rest.repo("releases"), WRITE))
        found = {release.id: release for release in items}
        return [found[number] for number in sorted(found)]

    def create_draft(self, tag: str, commit: str, name: str, body: str, prerelease: bool) -> Release:
        wanted = {
            "tag_name": tag,
            "target_commitish": commit,
            "name": name,
            "body": body,
            "draft": True,
            "prerelease": prerelease,
        }
        answer = self._rest.write("POST", self._rest.repo("releases"), WRITE, wanted)
        if answer.status != 201:
            raise self._rest.refused("create the draft release", answer, "push the tag first, then run this again")
        return _release(answer.read(_Release))

    def publish(self, release: Release, latest: bool) -> Release:
        wanted = {"draft": False, "make_latest": "true" if latest else "false"}
        answer = self._rest.write("PATCH", self._rest.repo(f"releases/{release.id}"), WRITE, wanted)
        if answer.status != 200:
            raise self._rest.refused("publish the release", answer, f"look at {release.url}")
        return _release(answer.read(_Release))

    # Assets

    def upload(self, release: Release, name: str, file: Path, progress: Callable[[int], None]) -> Asset:
        """Add a file; *progress* is told bytes. Raises ConflictError ``asset-exists`` when the name is taken.

        Raises ExternalError ``upload-url-foreign`` before anything is sent, ``asset-renamed`` when GitHub stored
        the file under another name.
        """
        url = release.upload_url.partition("{")[0]
        if not self._rest.may_upload(url):
            raise ExternalError(
                "upload-url-foreign",
                "GitHub named an upload address that is not its own; nothing was sent",
                retryable=False,
                object=name,
                found=url,
                hint="do not use this release; look at it in a browser first",
            )
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            content = _read(source, progress)
            answer = self._rest.send(f"{url}?{urlencode({'name': name})}", WRITE, content, size)
        if "already_exists" in answer.codes():
            raise ConflictError(
                "asset-exists",
                "the release has a file of this name",
                object=name,
                hint=f"look at {release.url}; a file that is there is never replaced",
            )
        if answer.status != 201:
            raise self._rest.refused(f"store {name}", answer)
        asset = answer.read(_Asset)
        if asset.name != name:
            raise ExternalError(
                "asset-renamed",
                "GitHub stored the file under another name",
                retryable=False,
                object=name,
                found=asset.name,
                wanted=name,
                hint="let the build give it a name of letters, digits, `.`, `_` and `-`",
            )
        return _asset(asset)

    def remove(self, asset: Asset) -> None:
        answer = self._rest.write("DELETE", self._rest.repo(f"releases/assets/{asset.id}"), WRITE)
        if answer.status not in (204, 404):
            raise self._rest.refused(f"delete {asset.name}", answer)

    def download(self, asset: Asset, file: Path, progress: Callable[[int], None]) -> None:
        """Fetch an asset's bytes into *file*, which must not exist; it exists afterwards only if complete.

        *progress* is told bytes, a negative number when an attempt is begun again. Raises ConfigError
        ``file-exists``, and ExternalError ``asset-size`` for other than the announced number of bytes and
        ``asset-missing`` for one that was listed and is there no more.
        """
        path = self._rest.repo(f"releases/assets/{asset.id}")

        def attempt() -> None:
            received = 0
            with _created(file) as out:
                try:
                    with self._rest.download(path, asset.size) as chunks:
                        for chunk in chunks:
                            received += len(chunk)
                            progress(len(chunk))
                            _require_size(asset, received, received <= asset.size)
                            out.write(chunk)
                    out.flush()  # what does not fit on the disk shows here, not when it is closed
                    _require_size(asset, received, received == asset.size)
                except BaseException:
                    progress(-received)
                    file.unlink()
                    raise

        self._rest.repeat(attempt, READ)

    def is_public(self, asset: Asset) -> bool:
        return self._rest.anonymous_status(asset.url) in (200, 302)

    # People

    def whoami(self) -> Person:
        answer = self._rest.read("user", "a token of a user, or of an Actions job", absent=(403,))
        if answer.status == 403:
            return ACTIONS
        found = answer.read(_User)
        return Person(id=found.id, login=found.login)

    def voter(self, person: Person, roles: Sequence[str]) -> Voter:
        """*person* with those of *roles* that they hold right now; roles are None where a look-up failed.

        A login that belongs to another account now makes the roles unknown: they would be somebody else's.
        """
        unknown = Voter(person.id, person.login, human=False, roles=None)
        try:
            answer = self._rest.read(f"users/{quote(person.login)}", "public profiles")
            if answer.status == 404:
                return replace(unknown, roles=frozenset())
            user = answer.read(_User)
        except ExternalError:
            return unknown
        if user.id != person.id:
            return unknown
        noreply = f"{user.login}@users.noreply.github.com"
        emails = frozenset(e for e in (user.email, noreply, f"{user.id}+{noreply}") if e)
        voter = replace(unknown, login=user.login, human=user.type == "User", emails=emails)
        try:
            return replace(voter, roles=self._held(user.login, roles))
        except ExternalError:
            return voter

    def _held(self, login: str, roles: Sequence[str]) -> frozenset[str]:
        rank = self._rank(login) if any(role.startswith("role:") for role in roles) else 0
        held = set()
        for role in roles:
            kind, _, name = role.partition(":")
            if (
                (kind == "user" and name.casefold() == login.casefold())
                or (kind == "role" and rank >= RANKS[name])
                or (kind == "team" and self._is_member(name, login))
            ):
                held.add(role)
        return frozenset(held)

    def _rank(self, login: str) -> int:
        """``permission`` folds maintain into write; ``role_name`` may be a role of the organization's own making."""
        path = self._rest.repo(f"collaborators/{quote(login)}/permission")
        answer = self._rest.read(path, "metadata: read")
        if answer.status == 404:
            return 0
        found = answer.read(_Permission)
        return max(RANKS.get(found.permission, 0), RANKS.get(found.role_name, 0))

    def _is_member(self, team: str, login: str) -> bool:
        org, _, slug = team.partition("/")
        path = f"orgs/{quote(org)}/teams/{quote(slug)}/memberships/{quote(login)}"
        answer = self._rest.read(path, "members: read")
        return answer.status == 200 and answer.read(_Membership).state == "active"


def _run_state(run: _CheckRun) -> CheckState:
    if run.status != "completed":
        return CheckState.PENDING
    return CONCLUSIONS.get(run.conclusion or "", CheckState.FAILURE)


def _asset(found: _Asset) -> Asset:
    by = found.uploader or _GHOST
    return Asset(
        id=found.id,
        name=found.name,
        size=found.size,
        digest=found.digest or "",
        complete=found.state == "uploaded",
        by=Person(id=by.id, login=by.login),
        human=by.type == "User",
        at=found.created_at,
        url=found.browser_download_url,
    )


def _release(found: _Release) -> Release:
    return Release(
        id=found.id,
        tag=found.tag_name,
        name=found.name or "",
        draft=found.draft,
        prerelease=found.prerelease,
        assets=tuple(_asset(a) for a in found.assets),
        url=found.html_url,
        upload_url=found.upload_url,
        body=found.body or "",
    )


def _read(source: IO[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
        progress(len(chunk))


def _created(file: Path) -> IO[bytes]:
    """*file*, new and open for writing; nothing that was there before, a symbolic link included, is written to."""
    try:
        return file.open("xb")
    except FileExistsError as error:
        raise ConfigError(
            "file-exists",
            "a file that should be written is there already",
            object=str(file),
            hint="name a folder that is empty",
        ) from error


def _require_size(asset: Asset, received: int, fits: bool) -> None:
    if not fits:
        raise ExternalError(
            "asset-size",
            "the asset has not the size that GitHub states",
            object=asset.name,
            found=f"{received} bytes",
            wanted=f"{asset.size} bytes",
            hint="run the same command again",
        )
