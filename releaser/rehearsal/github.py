"""The rehearsal's GitHub: a strict loopback server for the part of the REST API, and of git, that releases use.

Checks, statuses, approvals and dispatches are here; repositories and tokens, git data, files, releases, assets
and pull requests each have a module of their own beside this one.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releaser.rehearsal.github_accounts import Repository, User
from releaser.rehearsal.github_assets import Assets
from releaser.rehearsal.github_contents import Contents
from releaser.rehearsal.github_pulls import Pulls
from releaser.rehearsal.github_wire import (
    NOT_FOUND,
    body_of,
    created,
    flag,
    invalid,
    mapping,
    node_id,
    text,
    unprocessable,
)
from releaser.rehearsal.gitrepo import instant
from releaser.rehearsal.server import Faults, Journal, Request, Response, route

ACTIONS_APP_ID = 15368
STATES = ("error", "failure", "pending", "success")
EVENT_LIMIT = 100
PAYLOAD_KEYS = 10
PAYLOAD_LIMIT = 64 << 10
INPUT_LIMIT = 25


@dataclass(frozen=True, slots=True)
class Check:
    """A check run; still in progress while ``conclusion`` is None."""

    id: int
    repository: Repository
    sha: str
    name: str
    conclusion: str | None
    app_id: int
    at: str

    @property
    def status(self) -> str:
        return "completed" if self.conclusion else "in_progress"


@dataclass(frozen=True, slots=True)
class Status:
    """A commit status."""

    id: int
    repository: Repository
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: User
    at: str


@dataclass(frozen=True, slots=True)
class Approval:
    """What a reviewer of an environment said about a run."""

    repository: Repository
    run_id: int
    user: User
    environment: str
    state: str
    comment: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """An accepted dispatch. ``event`` is the event type, or the workflow's file name when ``ref`` is set."""

    repository: str
    event: str
    ref: str | None
    payload: dict[str, Any]
    sender: str


class GitHub(Contents, Assets, Pulls):
    """The whole forge. ``dispatches`` lists what was asked to run, in order."""

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self.dispatches: list[Dispatch] = []
        self._checks: list[Check] = []
        self._statuses: list[Status] = []
        self._approvals: list[Approval] = []

    # Arranging

    def set_check(
        self, repository: str, sha: str, name: str, conclusion: str | None, app_id: int = ACTIONS_APP_ID
    ) -> None:
        """A further run of check *name* on *sha*; it is in progress when *conclusion* is None."""
        with self.lock:
            run = Check(self.next_id(), self.repository(repository), sha, name, conclusion, app_id, self.now())
            self._checks.append(run)

    def set_approval(
        self, repository: str, run_id: int, login: str, environment: str, state: str = "approved", comment: str = ""
    ) -> None:
        """Let *login* have answered for *environment* in a run: ``approved`` or ``rejected``."""
        with self.lock:
            said = Approval(self.repository(repository), run_id, self.account(login), environment, state, comment)
            self._approvals.append(said)

    # Checks and statuses

    @route("GET", "/repos/{owner}/{repo}/commits/{ref*}/check-runs", "list-checks")
    def list_checks(self, request: Request) -> Response:
        repository = self.data(request).repository
        sha = self.commit_at(repository, request.params["ref"])
        runs = [run for run in self._checks[::-1] if run.repository is repository and run.sha == sha]
        if request.query.get("filter", "latest") == "latest":
            newest: dict[tuple[int, str], Check] = {}
            for run in runs:
                newest.setdefault((run.app_id, run.name), run)
            runs = list(newest.values())
        runs = [run for run in runs if _chosen(request, run)]
        return self.page(request, runs, self.check_json, wrap="check_runs")

    def check_json(self, run: Check) -> dict[str, Any]:
        url = self.api(run.repository, f"/check-runs/{run.id}")
        html = self.html(run.repository, f"/runs/{run.id}")
        return {
            "id": run.id,
            "node_id": node_id("CheckRun", run.id),
            "head_sha": run.sha,
            "external_id": "",
            "url": url,
            "html_url": html,
            "details_url": html,
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": run.at,
            "completed_at": run.at if run.conclusion else None,
            "output": {
                **dict.fromkeys(("title", "summary", "text")),
                "annotations_count": 0,
                "annotations_url": f"{url}/annotations",
            },
            "name": run.name,
            "check_suite": {"id": run.id},
            "app": self.app_json(run.app_id),
            "pull_requests": [],
        }

    def app_json(self, app_id: int) -> dict[str, Any]:
        slug, name = f"app-{app_id}", f"App {app_id}"
        if app_id == ACTIONS_APP_ID:
            slug, name = "github-actions", "GitHub Actions"
        html, born = f"{self.url}/apps/{slug}", instant(0)
        return {
            "id": app_id,
            "slug": slug,
            "node_id": node_id("App", app_id),
            "owner": self.user_json(User("github", 9919, "Organization")),
            "name": name,
            "description": None,
            "external_url": html,
            "html_url": html,
            "created_at": born,
            "updated_at": born,
            "permissions": {},
            "events": [],
        }

    @route("GET", "/repos/{owner}/{repo}/commits/{ref*}/status", "get-status")
    def get_status(self, request: Request) -> Response:
        """The newest status of each context, and what they come to: pending when there are none."""
        repository = self.data(request).repository
        sha = self.commit_at(repository, request.params["ref"])
        newest: dict[str, Status] = {}
        for status in self._statuses[::-1]:
            if status.repository is repository and status.sha == sha:
                newest.setdefault(status.context.lower(), status)
        states = {status.state for status in newest.values()}
        state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
        return Response.json(
            {
                "state": state,
                "statuses": [self.status_json(status) for status in newest.values()],
                "sha": sha,
                "total_count": len(newest),
                "repository": self.repository_json(repository),
                "commit_url": self.api(repository, f"/commits/{sha}"),
                "url": self.api(repository, f"/commits/{sha}/status"),
            }
        )

    @route("POST", "/repos/{owner}/{repo}/statuses/{sha}", "create-status")
    def create_status(self, request: Request) -> Response:
        access = self.data(request, "write")
        body, sha = body_of(request), request.params["sha"]
        state = text(body, "state")
        if state not in STATES:
            raise invalid("Status", "custom", "state", "state is not included in the list")
        if access.repository.git.kind(sha) != "commit":
            raise unprocessable(f"No commit found for SHA: {sha}")
        with self.lock:
            status = Status(
                id=self.next_id(),
                repository=access.repository,
                sha=sha,
                state=state,
                context=text(body, "context", "default"),
                description=text(body, "description", "") or None,
                target_url=text(body, "target_url", "") or None,
                creator=access.user,
                at=self.now(),
            )
            self._statuses.append(status)
        return created({**self.status_json(status), "creator": self.user_json(access.user)})

    def status_json(self, status: Status) -> dict[str, Any]:
        return {
            "url": self.api(status.repository, f"/statuses/{status.sha}"),
            "avatar_url": self.user_json(status.creator)["avatar_url"],
            "id": status.id,
            "node_id": node_id("Status", status.id),
            "state": status.state,
            "description": status.description,
            "target_url": status.target_url,
            "context": status.context,
            "created_at": status.at,
            "updated_at": status.at,
        }

    # Runs

    @route("GET", "/repos/{owner}/{repo}/actions/runs/{run}/approvals", "list-approvals")
    def list_approvals(self, request: Request) -> Response:
        repository = self.open(request).repository
        run = request.params["run"]
        said = [a for a in self._approvals if a.repository is repository and str(a.run_id) == run]
        return Response.json([self.approval_json(approval) for approval in said])

    def approval_json(self, approval: Approval) -> dict[str, Any]:
        name, born = approval.environment, approval.repository.created_at
        number = zlib.crc32(name.encode())
        environment = {
            "id": number,
            "node_id": node_id("Environment", number),
            "name": name,
            "url": self.api(approval.repository, f"/environments/{name}"),
            "html_url": self.html(approval.repository, f"/deployments/activity_log?environments_filter={name}"),
            "created_at": born,
            "updated_at": born,
        }
        return {
            "state": approval.state,
            "comment": approval.comment,
            "environments": [environment],
            "user": self.user_json(approval.user),
        }

    @route("POST", "/repos/{owner}/{repo}/dispatches", "dispatch")
    def dispatch(self, request: Request) -> Response:
        access = self.open(request, "write")
        body = body_of(request)
        event, payload = text(body, "event_type"), mapping(body, "client_payload")
        if not event or len(event) > EVENT_LIMIT:
            raise unprocessable(f"Invalid request.\n\nevent_type must have 1 to {EVENT_LIMIT} characters.")
        if (given := len(payload)) > PAYLOAD_KEYS:
            words = f"No more than {PAYLOAD_KEYS} properties are allowed; {given} were supplied."
            raise unprocessable(f"Invalid request.\n\n{words}")
        if len(json.dumps(payload, separators=(",", ":"))) >= PAYLOAD_LIMIT:
            raise unprocessable("client_payload is too large.")
        with self.lock:
            self.dispatches.append(Dispatch(access.repository.full_name, event, None, payload, access.user.login))
        return Response(status=204)

    @route("POST", "/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches", "dispatch-workflow")
    def dispatch_workflow(self, request: Request) -> Response:
        """Needs the file on the default branch; version 2026-03-10 of the API answers with the run."""
        access = self.open(request, "write")
        repository, body = access.repository, body_of(request)
        workflow, ref, inputs = request.params["workflow"], text(body, "ref"), mapping(body, "inputs")
        default = repository.git.commit_of(f"refs/heads/{repository.default_branch}")
        if default is None or repository.git.entry(default, f".github/workflows/{workflow}") is None:
            return NOT_FOUND
        if repository.git.commit_of(ref) is None:
            raise unprocessable(f"No ref found for: {ref}")
        if len(inputs) > INPUT_LIMIT:
            raise unprocessable(f"you may only define up to {INPUT_LIMIT} `inputs` for a `workflow_dispatch` event")
        with self.lock:
            self.dispatches.append(Dispatch(repository.full_name, workflow, ref, inputs, access.user.login))
            run = self.next_id()
        if request.header("x-github-api-version") != "2026-03-10" and not flag(body, "return_run_details", False):
            return Response(status=204)
        path = f"/actions/runs/{run}"
        return Response.json(
            {
                "workflow_run_id": run,
                "run_url": self.api(repository, path),
                "html_url": self.html(repository, path),
            }
        )


def _chosen(request: Request, run: Check) -> bool:
    facts = {"check_name": run.name, "app_id": str(run.app_id), "status": run.status}
    return all(request.query.get(name, value) == value for name, value in facts.items())
