"""The git database of the rehearsal's GitHub: real bare repositories behind refs, tags, commits, trees and blobs.

Statuses and messages follow GitHub's REST reference (git database, commits, branches).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from releaser.rehearsal.github_accounts import Access, Accounts, Repository, User, window
from releaser.rehearsal.github_wire import NOT_FOUND, body_of, created, error, flag, node_id, text, unprocessable
from releaser.rehearsal.gitrepo import Commit, Person, Ref
from releaser.rehearsal.server import Refused, Request, Response, route

COMPARED = 250
BLOB_MODES = ("100644", "100755", "120000")


class GitData(Accounts):
    """Refs, tags, commits, trees, blobs, branches and comparisons."""

    def data(self, request: Request, role: str = "read") -> Access:
        """As ``open``, for the git database, which answers 409 while there is nothing in it."""
        access = self.open(request, role)
        if not access.repository.git.refs():
            raise Refused(error(409, "Git Repository is empty."))
        return access

    def person(self, user: User) -> Person:
        """*user* as the author of what the API commits, now."""
        return Person(user.login, f"{user.id}+{user.login}@users.noreply.example.invalid", self.now())

    def set_verified(self, repository: str, sha: str) -> None:
        """Let the signature of this tag or commit count as valid."""
        with self.lock:
            self.repository(repository).verified.add(sha)

    # Shapes

    def verification(self, repository: Repository, sha: str, signature: str | None) -> dict[str, Any]:
        verified = sha in repository.verified
        reason = "valid" if verified else "unsigned" if signature is None else "unknown_key"
        verified_at = self.now() if verified else None
        return {
            "verified": verified,
            "reason": reason,
            "signature": signature,
            "payload": None,
            "verified_at": verified_at,
        }

    def ref_json(self, repository: Repository, ref: Ref) -> dict[str, Any]:
        return {
            "ref": ref.name,
            "node_id": node_id("Ref", ref.name),
            "url": self.api(repository, f"/git/{quote(ref.name)}"),
            "object": {
                "sha": ref.sha,
                "type": ref.kind,
                "url": self.api(repository, f"/git/{ref.kind}s/{ref.sha}"),
            },
        }

    def git_commit_json(self, repository: Repository, commit: Commit) -> dict[str, Any]:
        """A commit as the git database shows it."""
        return {
            "sha": commit.sha,
            "node_id": node_id("Commit", commit.sha),
            "url": self.api(repository, f"/git/commits/{commit.sha}"),
            "html_url": self.html(repository, f"/commit/{commit.sha}"),
            "author": asdict(commit.author),
            "committer": asdict(commit.committer),
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": self.api(repository, f"/git/trees/{commit.tree}")},
            "parents": [
                {
                    "sha": parent,
                    "url": self.api(repository, f"/git/commits/{parent}"),
                    "html_url": self.html(repository, f"/commit/{parent}"),
                }
                for parent in commit.parents
            ],
            "verification": self.verification(repository, commit.sha, commit.signature),
        }

    def commit_json(self, repository: Repository, sha: str) -> dict[str, Any]:
        """A commit as the repository shows it."""
        commit = self.git_commit_json(repository, repository.git.commit(sha))
        inner = {k: commit[k] for k in ("url", "author", "committer", "message", "tree", "verification")}
        return {
            "sha": sha,
            "node_id": commit["node_id"],
            "url": self.api(repository, f"/commits/{sha}"),
            "html_url": commit["html_url"],
            "comments_url": self.api(repository, f"/commits/{sha}/comments"),
            "commit": {**inner, "comment_count": 0},
            "author": self._account_of(commit["author"]),
            "committer": self._account_of(commit["committer"]),
            "parents": commit["parents"],
        }

    def _account_of(self, person: dict[str, str]) -> dict[str, Any] | None:
        """The account that an address belongs to; here only those that GitHub itself gives out belong to one."""
        address = re.fullmatch(r"\d+\+(.+)@users\.noreply\.example\.invalid", person["email"])
        user = self._accounts.get(address[1].lower()) if address else None
        return self.user_json(user) if user else None

    # Reading

    @route("GET", "/repos/{owner}/{repo}/git/ref/{ref*}", "get-ref")
    def get_ref(self, request: Request) -> Response:
        repository = self.data(request).repository
        found = repository.git.ref("refs/" + request.params["ref"])
        return NOT_FOUND if found is None else Response.json(self.ref_json(repository, found))

    @route("GET", "/repos/{owner}/{repo}/git/matching-refs/{prefix*}", "list-refs")
    def list_refs(self, request: Request) -> Response:
        repository = self.data(request).repository
        found = repository.git.refs("refs/" + request.params["prefix"])
        return Response.json([self.ref_json(repository, ref) for ref in found])

    @route("GET", "/repos/{owner}/{repo}/git/tags/{sha}", "get-tag")
    def get_tag(self, request: Request) -> Response:
        repository = self.data(request).repository
        if repository.git.kind(request.params["sha"]) != "tag":
            return NOT_FOUND
        return Response.json(self.tag_json(repository, request.params["sha"]))

    def tag_json(self, repository: Repository, sha: str) -> dict[str, Any]:
        tag = repository.git.tag(sha)
        return {
            "node_id": node_id("Tag", sha),
            "sha": sha,
            "url": self.api(repository, f"/git/tags/{sha}"),
            "tag": tag.name,
            "message": tag.message,
            "tagger": asdict(tag.tagger),
            "object": {
                "sha": tag.target,
                "type": tag.target_kind,
                "url": self.api(repository, f"/git/{tag.target_kind}s/{tag.target}"),
            },
            "verification": self.verification(repository, sha, tag.signature),
        }

    @route("GET", "/repos/{owner}/{repo}/git/commits/{sha}", "get-git-commit")
    def get_git_commit(self, request: Request) -> Response:
        repository = self.data(request).repository
        if repository.git.kind(request.params["sha"]) != "commit":
            return NOT_FOUND
        return Response.json(self.git_commit_json(repository, repository.git.commit(request.params["sha"])))

    def commit_at(self, repository: Repository, name: str) -> str:
        """The SHA of a commit named in a path; 422 when there is none."""
        found = repository.git.commit_of(name)
        if found is None:
            raise unprocessable(f"No commit found for SHA: {name}")
        return found

    @route("GET", "/repos/{owner}/{repo}/commits/{ref*}", "get-commit")
    def get_commit(self, request: Request) -> Response:
        repository = self.data(request).repository
        return Response.json(self.commit_json(repository, self.commit_at(repository, request.params["ref"])))

    @route("GET", "/repos/{owner}/{repo}/commits", "list-commits")
    def list_commits(self, request: Request) -> Response:
        """The commit *sha*, by default the tip of the default branch, and all before it, newest first."""
        repository = self.data(request).repository
        tip = repository.git.commit_of(request.query.get("sha") or repository.default_branch)
        if tip is None:
            return NOT_FOUND
        history = repository.git.run("rev-list", tip).decode().split()
        return self.page(request, history, lambda sha: self.commit_json(repository, sha))

    @route("GET", "/repos/{owner}/{repo}/compare/{basehead*}", "compare")
    def compare(self, request: Request) -> Response:
        repository = self.data(request).repository
        base, dots, head = request.params["basehead"].partition("...")
        ends = [repository.git.commit_of(name) for name in (base, head)]
        if not dots or ends[0] is None or ends[1] is None:
            return NOT_FOUND
        found = repository.git.compare(ends[0], ends[1])
        if found is None:
            return error(404, f"No common ancestor between {base} and {head}.")
        status, merge_base, ahead, behind = found
        size, page = window(request) if request.query else (COMPARED, 1)
        commits = repository.git.log(ends[0], ends[1], ahead)[::-1][(page - 1) * size : page * size]
        html = self.html(repository, f"/compare/{request.params['basehead']}")
        return Response.json(
            {
                "url": self.api(repository, f"/compare/{quote(request.params['basehead'])}"),
                "html_url": html,
                "permalink_url": self.html(repository, f"/compare/{ends[0][:7]}...{ends[1][:7]}"),
                "diff_url": html + ".diff",
                "patch_url": html + ".patch",
                "base_commit": self.commit_json(repository, ends[0]),
                "merge_base_commit": self.commit_json(repository, merge_base),
                "status": status,
                "ahead_by": ahead,
                "behind_by": behind,
                "total_commits": ahead,
                "commits": [self.commit_json(repository, sha) for sha in commits],
            }
        )

    @route("GET", "/repos/{owner}/{repo}/branches", "list-branches")
    def list_branches(self, request: Request) -> Response:
        repository = self.open(request).repository

        def shape(ref: Ref) -> dict[str, Any]:
            name = ref.name.removeprefix("refs/heads/")
            commit = {"sha": ref.sha, "url": self.api(repository, f"/commits/{ref.sha}")}
            return {"name": name, "commit": commit, "protected": name in repository.protected}

        return self.page(request, repository.git.refs("refs/heads/"), shape)

    # Writing

    def tree_with(self, repository: Repository, base: str | None, changes: list[tuple[str, str, str | None]]) -> str:
        """The tree that *changes* make of *base*; 422 for a path that git would not check out."""
        for path, _, _ in changes:
            if any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")):
                raise unprocessable("tree.path contains a malformed path component")
        return repository.git.write_tree(base, changes)

    @route("POST", "/repos/{owner}/{repo}/git/blobs", "create-blob")
    def create_blob(self, request: Request) -> Response:
        repository = self.data(request, "write").repository
        body = body_of(request)
        content = text(body, "content").encode()
        if text(body, "encoding", "utf-8") == "base64":
            try:
                content = base64.b64decode(b"".join(content.split()), validate=True)
            except binascii.Error as exc:
                raise unprocessable("content is not valid Base64") from exc
        sha = repository.git.write_blob(content)
        return created({"sha": sha, "url": self.api(repository, f"/git/blobs/{sha}")})

    @route("POST", "/repos/{owner}/{repo}/git/trees", "create-tree")
    def create_tree(self, request: Request) -> Response:
        repository = self.data(request, "write").repository
        body = body_of(request)
        base = text(body, "base_tree", "")
        if base and repository.git.kind(base) not in ("tree", "commit"):
            raise unprocessable("base_tree is not a valid tree oid")
        changes = [self._tree_change(repository, item) for item in body.get("tree") or ()]
        if not changes:
            raise unprocessable("Invalid tree info")
        sha = self.tree_with(repository, base or None, changes)
        shown = [
            {
                "path": entry.path,
                "mode": entry.mode,
                "type": entry.kind,
                "sha": entry.sha,
                "url": self.api(repository, f"/git/{entry.kind}s/{entry.sha}"),
            }
            for entry in repository.git.folder(sha)
        ]
        url = self.api(repository, f"/git/trees/{sha}")
        return created({"sha": sha, "url": url, "truncated": False, "tree": shown})

    def _tree_change(self, repository: Repository, item: dict[str, Any]) -> tuple[str, str, str | None]:
        path, mode = text(item, "path"), text(item, "mode", "100644")
        if mode not in BLOB_MODES:
            raise unprocessable(f"tree.mode {mode} is not one of {', '.join(BLOB_MODES)}")
        if "content" in item:
            return path, mode, repository.git.write_blob(text(item, "content").encode())
        if item.get("sha", "") is None:
            return path, mode, None
        sha = text(item, "sha")
        if repository.git.kind(sha) != "blob":
            raise unprocessable(f"tree.sha {sha} is not a valid blob")
        return path, mode, sha

    @route("POST", "/repos/{owner}/{repo}/git/commits", "create-commit")
    def create_commit(self, request: Request) -> Response:
        access = self.data(request, "write")
        git, body = access.repository.git, body_of(request)
        message, tree, parents = text(body, "message"), text(body, "tree"), body.get("parents") or []
        if git.kind(tree) != "tree":
            raise unprocessable("Tree SHA does not exist")
        if any(git.kind(str(parent)) != "commit" for parent in parents):
            raise unprocessable("Parent SHA does not exist or is not a commit object")
        author = self._signer(access, body, "author")
        committer = self._signer(access, body, "committer") if body.get("committer") else author
        sha = git.write_commit(tree, parents, message, author, committer)
        # What an app commits in its own name is signed for it (about commit signature verification: for bots).
        if access.user.type == "Bot" and not body.keys() & {"author", "committer", "signature"}:
            self.set_verified(access.repository.full_name, sha)
        return created(self.git_commit_json(access.repository, git.commit(sha)))

    def _signer(self, access: Access, body: dict[str, Any], role: str) -> Person:
        """Author, committer or tagger as sent, by default the caller, now."""
        sent = body.get(role)
        if not sent:
            return self.person(access.user)
        return Person(text(sent, "name"), text(sent, "email"), text(sent, "date", self.now()))

    @route("POST", "/repos/{owner}/{repo}/git/tags", "create-tag")
    def create_tag(self, request: Request) -> Response:
        access = self.data(request, "write")
        git, body = access.repository.git, body_of(request)
        name, message, target = text(body, "tag"), text(body, "message"), text(body, "object")
        kind = git.kind(target)
        if kind is None or kind != text(body, "type") or not git.is_ref_name(f"refs/tags/{name}"):
            raise unprocessable("Object does not exist")
        sha = git.write_tag(name, target, kind, message, self._signer(access, body, "tagger"))
        return created(self.tag_json(access.repository, sha))

    @route("POST", "/repos/{owner}/{repo}/git/refs", "create-ref")
    def create_ref(self, request: Request) -> Response:
        repository = self.data(request, "write").repository
        body = body_of(request)
        name, sha = text(body, "ref"), text(body, "sha")
        if not name.startswith("refs/") or name.count("/") < 2 or not repository.git.is_ref_name(name):
            raise unprocessable("Reference name is not valid")
        kind = repository.git.kind(sha)
        if kind is None:
            raise unprocessable("Object does not exist")
        if not repository.git.move(name, sha, None):
            raise unprocessable("Reference already exists")
        return created(self.ref_json(repository, Ref(name, sha, kind)))

    @route("PATCH", "/repos/{owner}/{repo}/git/refs/{ref*}", "update-ref")
    def update_ref(self, request: Request) -> Response:
        repository = self.data(request, "write").repository
        git, body = repository.git, body_of(request)
        name, sha = "refs/" + request.params["ref"], text(body, "sha")
        old = git.ref(name)
        if old is None:
            raise unprocessable("Reference does not exist")
        kind = git.kind(sha)
        if kind is None:
            raise unprocessable("Object does not exist")
        ends = (git.commit_of(old.name), git.commit_of(sha))
        forward = ends[0] and ends[1] and git.ask("merge-base", "--is-ancestor", ends[0], ends[1]) is not None
        allowed = forward or flag(body, "force", False)
        if not allowed or not git.move(name, sha, old.sha):
            raise unprocessable("Update is not a fast forward")
        return Response.json(self.ref_json(repository, Ref(name, sha, kind)))

    @route("DELETE", "/repos/{owner}/{repo}/git/refs/{ref*}", "delete-ref")
    def delete_ref(self, request: Request) -> Response:
        repository = self.data(request, "write").repository
        name = "refs/" + request.params["ref"]
        if repository.git.ref(name) is None:
            raise unprocessable("Reference does not exist")
        repository.git.delete(name)
        return Response(status=204)
