"""A repository on GitHub that package managers read: one file, one commit, and a pull request where wanted.

Calls: GitHub's REST reference (git database, repository contents, pulls).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from releaser.adapters.github_rest import Rest, Shape, shaped
from releaser.errors import ConflictError, ExternalError

if TYPE_CHECKING:
    import httpx

READ, WRITE, PULLS = "contents: read", "contents: write", "pull-requests: write"


class _Repository(Shape):
    default_branch: str


class _Object(Shape):
    sha: str


class _Ref(Shape):
    object: _Object


class _Commit(Shape):
    tree: _Object


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
        blob = self._made("blobs", {"content": base64.b64encode(content).decode(), "encoding": "base64"})
        entry = {"path": path, "mode": "100644", "type": "blob", "sha": blob}
        tree = self._made("trees", {"base_tree": base, "tree": [entry]})
        commit = self._made("commits", {"message": message, "tree": tree, "parents": [parent]})
        self._move(branch, tip, commit)
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
        answer = self._rest.read(self._rest.repo(f"git/ref/heads/{quote(branch)}"), READ, absent=(404, 409))
        value = answer.json()
        return shaped(_Ref, value).object.sha if answer.status == 200 and isinstance(value, dict) else None

    def _made(self, kind: str, body: Mapping[str, Any]) -> str:
        """The SHA of a new object, which nothing refers to yet."""
        answer = self._rest.write("POST", self._rest.repo(f"git/{kind}"), WRITE, body)
        if answer.status != 201:
            raise self._rest.refused(f"store one of the {kind} of a commit", answer)
        return answer.read(_Object).sha

    def _move(self, branch: str, tip: str | None, commit: str) -> None:
        """Point *branch*, last seen at *tip*, to *commit*, unless somebody moved it meanwhile.

        GitHub says 422 for a race and for a branch that is protected; which it was shows in where the branch is.
        """
        if tip is None:
            wanted: dict[str, Any] = {"ref": f"refs/heads/{branch}", "sha": commit}
            answer = self._rest.write("POST", self._rest.repo("git/refs"), WRITE, wanted)
        else:
            path = self._rest.repo(f"git/refs/heads/{quote(branch)}")
            answer = self._rest.write("PATCH", path, WRITE, {"sha": commit, "force": False})
        if answer.status in (200, 201):
            return
        if answer.status == 409 or self._tip(branch) != tip:
            raise ConflictError(
                "tap-raced",
                "somebody else wrote to the repository at the same time",
                object=f"{self._rest.repository} {branch}",
                hint="run the same command again: it starts from what is there now",
            )
        raise self._rest.refused(f"update {branch}", answer, 'deliver with `via = "pull-request"` if it is protected')
