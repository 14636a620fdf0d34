"""Pull requests of the rehearsal's GitHub, between branches of one repository.

Statuses and messages follow GitHub's REST reference (pulls).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from releaser.rehearsal.github_accounts import Repository, User
from releaser.rehearsal.github_git import GitData
from releaser.rehearsal.github_wire import (
    NOT_FOUND,
    body_of,
    created,
    flag,
    invalid,
    node_id,
    number,
    text,
    unprocessable,
)
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, route

LINKS = {
    "commits": "/pulls/{number}/commits",
    "review_comments": "/pulls/{number}/comments",
    "review_comment": "/pulls/comments{{/number}}",
    "comments": "/issues/{number}/comments",
    "issue": "/issues/{number}",
    "statuses": "/statuses/{sha}",
}


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request; ``head`` and ``base`` are branches, ``sha`` is where the head was last seen."""

    id: int
    number: int
    repository: Repository
    user: User
    title: str
    body: str | None
    head: str
    base: str
    sha: str
    draft: bool
    state: str
    created_at: str
    closed_at: str | None = None


class Pulls(GitData):
    """Pull requests: open, find, read, edit, close."""

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self._pulls: dict[int, Pull] = {}

    def _pulls_of(self, repository: Repository) -> list[Pull]:
        """All pull requests of *repository*, newest first, with open ones at the tip of their branch."""
        pulls = [pull for pull in list(self._pulls.values())[::-1] if pull.repository is repository]
        return [self._current(pull) for pull in pulls]

    def _current(self, pull: Pull) -> Pull:
        tip = pull.repository.git.ref(f"refs/heads/{pull.head}") if pull.state == "open" else None
        return replace(pull, sha=tip.sha) if tip else pull

    def _pull(self, repository: Repository, wanted: int) -> Pull:
        found = next((pull for pull in self._pulls_of(repository) if pull.number == wanted), None)
        if found is None:
            raise Refused(NOT_FOUND)
        return found

    def pull_json(self, pull: Pull) -> dict[str, Any]:
        """A pull request as a list shows it."""
        repository = pull.repository
        api, html = self.api(repository, f"/pulls/{pull.number}"), self.html(repository, f"/pull/{pull.number}")
        links = {k: self.api(repository, v.format(number=pull.number, sha=pull.sha)) for k, v in LINKS.items()}
        unset = ("milestone", "auto_merge", "active_lock_reason", "merged_at", "merge_commit_sha", "assignee")
        return {
            "url": api,
            "id": pull.id,
            "node_id": node_id("PullRequest", pull.id),
            "html_url": html,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            **{f"{name}_url": url for name, url in links.items()},
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "title": pull.title,
            "user": self.user_json(pull.user),
            "body": pull.body,
            **dict.fromkeys(unset),
            **{name: [] for name in ("labels", "assignees", "requested_reviewers", "requested_teams")},
            "draft": pull.draft,
            "created_at": pull.created_at,
            "updated_at": pull.closed_at or pull.created_at,
            "closed_at": pull.closed_at,
            "head": self._end_json(pull, pull.head),
            "base": self._end_json(pull, pull.base),
            "_links": {name: {"href": url} for name, url in {"self": api, "html": html, **links}.items()},
            "author_association": "OWNER" if pull.user.id == repository.owner.id else "COLLABORATOR",
        }

    def _end_json(self, pull: Pull, branch: str) -> dict[str, Any]:
        repository = pull.repository
        tip = repository.git.ref(f"refs/heads/{branch}")
        return {
            "label": f"{repository.owner.login}:{branch}",
            "ref": branch,
            "sha": pull.sha if branch == pull.head or tip is None else tip.sha,
            "user": self.user_json(repository.owner),
            "repo": self.repository_json(repository),
        }

    def pull_detail_json(self, pull: Pull) -> dict[str, Any]:
        """A pull request as its own page shows it."""
        base = pull.repository.git.commit_of(f"refs/heads/{pull.base}")
        found = pull.repository.git.compare(base, pull.sha) if base else None
        counts = dict.fromkeys(("comments", "review_comments", "additions", "deletions", "changed_files"), 0)
        return {
            **self.pull_json(pull),
            **counts,
            "commits": found[2] if found else 0,
            "merged": False,
            "mergeable": None,
            "mergeable_state": "unknown",
            "merged_by": None,
            "rebaseable": None,
            "maintainer_can_modify": False,
        }

    @route("GET", "/repos/{owner}/{repo}/pulls", "list-pulls")
    def list_pulls(self, request: Request) -> Response:
        repository = self.open(request).repository
        wanted = request.query.get("state", "open")
        head, base = request.query.get("head", ""), request.query.get("base", "")
        shown = [
            pull
            for pull in self._pulls_of(repository)
            if wanted in ("all", pull.state)
            and head in ("", f"{repository.owner.login}:{pull.head}")
            and base in ("", pull.base)
        ]
        return self.page(request, shown, self.pull_json)

    @route("POST", "/repos/{owner}/{repo}/pulls", "create-pull")
    def create_pull(self, request: Request) -> Response:
        access = self.open(request, "write")
        repository, git, body = access.repository, access.repository.git, body_of(request)
        title, head, base = text(body, "title"), text(body, "head"), text(body, "base")
        head = head.removeprefix(f"{repository.owner.login}:")
        ours, theirs = (git.ref(f"refs/heads/{branch}") for branch in (head, base))
        if ours is None or theirs is None:
            raise invalid("PullRequest", "invalid", "head" if ours is None else "base")
        found = git.compare(theirs.sha, ours.sha)
        if found is None:
            message = f"The {head} branch has no history in common with {base}"
            raise invalid("PullRequest", "custom", message=message)
        if not found[2]:
            raise invalid("PullRequest", "custom", message=f"No commits between {base} and {head}")
        with self.lock:
            known = self._pulls_of(repository)
            if any(p.state == "open" and (p.head, p.base) == (head, base) for p in known):
                message = f"A pull request already exists for {repository.owner.login}:{head}."
                raise invalid("PullRequest", "custom", message=message)
            pull = Pull(
                id=self.next_id(),
                number=len(known) + 1,
                repository=repository,
                user=access.user,
                title=title,
                body=text(body, "body", "") or None,
                head=head,
                base=base,
                sha=ours.sha,
                draft=flag(body, "draft", False),
                state="open",
                created_at=self.now(),
            )
            self._pulls[pull.id] = pull
        return created(self.pull_detail_json(pull))

    @route("GET", "/repos/{owner}/{repo}/pulls/{number}", "get-pull")
    def get_pull(self, request: Request) -> Response:
        pull = self._pull(self.open(request).repository, number(request, "number"))
        return Response.json(self.pull_detail_json(pull))

    @route("PATCH", "/repos/{owner}/{repo}/pulls/{number}", "update-pull")
    def update_pull(self, request: Request) -> Response:
        access = self.open(request, "write")
        body = body_of(request)
        with self.lock:
            pull = self._pull(access.repository, number(request, "number"))
            state = text(body, "state", pull.state)
            if state not in ("open", "closed"):
                raise unprocessable(f"Invalid request.\n\n{state} is not a possible value of state.")
            pull = replace(
                pull,
                title=text(body, "title", pull.title),
                body=text(body, "body", pull.body or "") or None,
                state=state,
                closed_at=None if state == "open" else pull.closed_at or self.now(),
            )
            self._pulls[pull.id] = pull
        return Response.json(self.pull_detail_json(pull))
