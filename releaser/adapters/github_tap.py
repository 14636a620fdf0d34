"""A repository on GitHub that package managers read: one file, one commit, and a pull request where wanted.

Calls: GitHub's REST reference (git database, repository contents, pulls).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from releaser.adapters.github_refs import READ, Object, Refs
from releaser.adapters.github_rest import Rest, Shape, shaped
from releaser.errors import ConflictError, ExternalError

if TYPE_CHECKING:
    import httpx

PULLS = "pull-requests: write"


class _Repository(Shape):
    default_branch: str


class _Commit(Shape):
    tree: Object


class _Home(Shape):
    full_name: str


class _Head(Shape):
    ref: str
    repo: _Home | None = None


class _Pull(Shape):
    html_url: str
    state: str
    head: _Head


class GitHubTap:
    """A tap or bucket. ``sleep`` takes seconds; ``transport`` replaces the network."""

    def __init__(
        self,
        repository: str,
        token: str,
        api_url: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._rest = Rest(repository, token, api_url, sleep=sleep, transport=transport)
        self._refs = Refs(self._rest)

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def default_branch(self) -> str:
        return self._rest.read(self._rest.repo(), READ, absent=()).read(_Repository).default_branch

    def file(self, path: str, ref: str) -> bytes | None:
        """A file's bytes at branch or commit *ref*; None when either is not there.

        A folder, of which the empty path is the topmost, reads as the names in it, one a line.
        """
        found = self._rest.contents(path, ref)
        return "".join(f"{name}\n" for name in found).encode() if isinstance(found, tuple) else found

    def commit(self, branch: str, path: str, content: bytes, message: str) -> str:
        tip = self._tip(branch)
        parent = tip or self._tip(self.default_branch())
        if parent is None:
            raise ExternalError(
                "tap-empty",
                "the repository has no commit to build on",
                retryable=False,
                object=self._rest.repository,
                hint="push a first commit, such as a README, to it",
            )
        base = self._rest.read(self._rest.repo(f"git/commits/{parent}"), READ, absent=()).read(_Commit).tree.sha
        blob = self._refs.store("blobs", {"content": base64.b64encode(content).decode(), "encoding": "base64"})
        entry = {"path": path, "mode": "100644", "type": "blob", "sha": blob}
        tree = self._refs.store("trees", {"base_tree": base, "tree": [entry]})
        commit = self._refs.store("commits", {"message": message, "tree": tree, "parents": [parent]})
        hint = 'deliver with `via = "pull-request"` if it is protected'
        if not self._refs.move(f"heads/{branch}", tip, commit, hint):
            raise ConflictError(
                "tap-raced",
                "somebody else wrote to the repository at the same time",
                object=f"{self._rest.repository} {branch}",
                hint="run the same command again: it starts from what is there now",
            )
        return commit

    def pull_request(self, branch: str, title: str, body: str) -> str:
        if url := self.open_pull_request(branch):
            return url
        wanted = {"title": title, "head": branch, "base": self.default_branch(), "body": body}
        answer = self._rest.write("POST", self._rest.repo("pulls"), PULLS, wanted)
        if answer.status == 201:
            return answer.read(_Pull).html_url
        if url := self.open_pull_request(branch):  # somebody was faster
            return url
        raise self._rest.refused("open a pull request", answer)

    def open_pull_request(self, branch: str) -> str | None:
        owner = self._rest.repository.partition("/")[0]
        asked = {"state": "open", "head": f"{owner}:{branch}"}
        for item in self._rest.pages(self._rest.repo("pulls"), "pull-requests: read", params=asked):
            pull = shaped(_Pull, item)
            home = pull.head.repo.full_name.casefold() if pull.head.repo else ""
            if pull.state == "open" and pull.head.ref == branch and home == self._rest.repository.casefold():
                return pull.html_url
        return None

    def _tip(self, branch: str) -> str | None:
        found = self._refs.find(f"heads/{branch}")
        return found.object.sha if found else None
