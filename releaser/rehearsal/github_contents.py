"""The files of a repository of the rehearsal's GitHub: by the contents API, and by git itself over HTTP.

Statuses and messages follow GitHub's REST reference (repository contents).
"""

from __future__ import annotations

import base64
import binascii
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from releaser.rehearsal.github_accounts import Repository
from releaser.rehearsal.github_git import GitData
from releaser.rehearsal.github_wire import NOT_FOUND, body_of, error, text, unprocessable
from releaser.rehearsal.gitrepo import Entry, serve
from releaser.rehearsal.server import Request, Response, route

INLINE = 1_000_000
RAW = "application/vnd.github.raw+json"


class Contents(GitData):
    """Files one at a time, and ``git clone`` and ``git push``."""

    def entry_json(self, repository: Repository, entry: Entry, path: str, ref: str) -> dict[str, Any]:
        url = self.api(repository, f"/contents/{quote(path)}?{urlencode({'ref': ref})}")
        git = self.api(repository, f"/git/{entry.kind}s/{entry.sha}")
        folder = entry.kind == "tree"
        html = self.html(repository, f"/{'tree' if folder else 'blob'}/{quote(ref)}/{quote(path)}")
        return {
            "type": "dir" if folder else "file",
            "name": PurePosixPath(path).name,
            "path": path,
            "sha": entry.sha,
            "size": entry.size,
            "url": url,
            "html_url": html,
            "git_url": git,
            "download_url": None if folder else self.html(repository, f"/raw/{quote(ref)}/{quote(path)}"),
            "_links": {"self": url, "git": git, "html": html},
        }

    @route("GET", "/repos/{owner}/{repo}/contents/{path*}", "get-contents")
    def get_contents(self, request: Request) -> Response:
        repository = self.open(request).repository
        path = request.params["path"].strip("/")
        ref = request.query.get("ref") or repository.default_branch
        commit = repository.git.commit_of(ref)
        if commit is None:
            return error(404, f"No commit found for the ref {ref}")
        entry = repository.git.entry(commit, path)
        if entry is None:
            return NOT_FOUND
        if entry.kind == "tree":
            inside = [(e, f"{path}/{e.path}".lstrip("/")) for e in repository.git.folder(entry.sha)]
            return Response.json([self.entry_json(repository, e, p, ref) for e, p in inside])
        content = repository.git.blob(entry.sha)
        if request.header("accept") == RAW:
            return Response(body=content, content_type=f"{RAW}; charset=utf-8")
        inline = len(content) <= INLINE
        encoded = {
            "encoding": "base64" if inline else "none",
            "content": base64.encodebytes(content).decode() if inline else "",
        }
        return Response.json({**self.entry_json(repository, entry, path, ref), **encoded})

    @route("PUT", "/repos/{owner}/{repo}/contents/{path*}", "put-contents")
    def put_contents(self, request: Request) -> Response:
        access = self.open(request, "write")
        body = body_of(request)
        message, path = text(body, "message"), request.params["path"]
        branch = text(body, "branch", access.repository.default_branch).removeprefix("refs/heads/")
        try:
            content = base64.b64decode("".join(text(body, "content").split()), validate=True)
        except binascii.Error as exc:
            raise unprocessable("content is not valid Base64") from exc
        git, name = access.repository.git, f"refs/heads/{branch}"
        with self.lock:
            tip = git.ref(name)
            if tip is None and git.refs():
                return error(404, f"Branch {branch} not found")
            old = git.entry(tip.sha, path) if tip else None
            sent = text(body, "sha", "")
            if old and not sent:
                raise unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
            if sent and (old is None or sent != old.sha):
                return error(409, f"{path} does not match {sent}")
            change = (path, old.mode if old else "100644", git.write_blob(content))
            tree = self.tree_with(access.repository, tip.sha if tip else None, [change])
            author = self.person(access.user)
            sha = git.write_commit(tree, [tip.sha] if tip else [], message, author, author)
            if not git.move(name, sha, tip.sha if tip else None):
                return error(409, f"is at {git.commit_of(name)} but expected {tip.sha if tip else ''}")
        entry = git.entry(sha, path)
        shown = self.entry_json(access.repository, entry, path, branch) if entry else None
        commit = self.git_commit_json(access.repository, git.commit(sha))
        return Response.json({"content": shown, "commit": commit}, status=200 if old else 201)

    # Smart HTTP: https://git-scm.com/docs/http-protocol

    @route("GET", "/{owner}/{repo}/info/refs", "git-refs")
    def git_refs(self, request: Request) -> Response:
        return self._smart(request, "info/refs", request.query.get("service") == "git-receive-pack")

    @route("POST", "/{owner}/{repo}/git-upload-pack", "git-fetch")
    def git_fetch(self, request: Request) -> Response:
        return self._smart(request, "git-upload-pack", pushing=False)

    @route("POST", "/{owner}/{repo}/git-receive-pack", "git-push")
    def git_push(self, request: Request) -> Response:
        return self._smart(request, "git-receive-pack", pushing=True)

    def _smart(self, request: Request, tail: str, pushing: bool) -> Response:
        name = f"{request.params['owner']}/{request.params['repo'].removesuffix('.git')}"
        token = self.viewer(request) if request.header("authorization") else None
        access = self.access(name, token)
        if token is None and (pushing or access is None or not access.may("read")):
            challenge = Response(status=401, body=b"Authentication required\n", content_type="text/plain")
            challenge.headers["WWW-Authenticate"] = 'Basic realm="GitHub"'
            return challenge
        if access is None or not access.may("read"):
            return Response(status=404, body=b"Repository not found.\n", content_type="text/plain")
        user = access.user.login
        if pushing and not access.may("write"):
            denied = f"Permission to {name}.git denied to {user}.\n".encode()
            return Response(status=403, body=denied, content_type="text/plain")
        path = f"/{access.repository.full_name}.git/{tail}"
        query, folder = urlencode(request.query), self.root / "git"
        reply = serve(folder, request.method, path, query, request.headers, request.body, request.length, user)
        kind = reply.headers.pop("Content-Type", "text/plain")
        return Response(reply.status, reply.body, kind, headers=reply.headers)
