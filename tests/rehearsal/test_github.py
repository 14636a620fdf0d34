"""The rehearsal's GitHub, seen by an HTTP client, by the real git, and by a client generated from GitHub's schema."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from githubkit import GitHub as Client

from releaser.rehearsal.github import GitHub
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Fault, Faults, Journal

REPO = "/repos/acme/widget"
MANY = [f"input{n}" for n in range(26)]
SOMEBODY = Person("Somebody", "somebody@example.invalid", "2026-01-01T00:00:00Z")
WORKFLOW = ".github/workflows/publish.yml"


@dataclass
class World:
    """A forge with one public repository: ``ada`` administers it, ``octo`` writes, ``eve`` is a stranger."""

    github: GitHub
    git: BareRepository
    http: httpx.Client
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, by: str = "octo", **options: Any) -> httpx.Response:
        headers = options.pop("headers", {})
        if by:
            headers["Authorization"] = f"Bearer {self.tokens[by]}"
        url = path if path.startswith("http") else self.github.url + path
        return self.http.request(method, url, headers=headers, **options)

    def commit(self, message: str, files: dict[str, str], branch: str = "main", onto: str | None = None) -> str:
        """A commit on *branch* made behind the API's back, as a push would."""
        tip = self.git.ref(f"refs/heads/{branch}")
        parent = onto or (tip.sha if tip else None)
        changes = [(path, "100644", self.git.write_blob(text.encode())) for path, text in files.items()]
        tree = self.git.write_tree(parent, changes)
        sha = self.git.write_commit(tree, [parent] if parent else [], message, SOMEBODY, SOMEBODY)
        assert self.git.move(f"refs/heads/{branch}", sha, tip.sha if tip else None)
        return sha

    def release(self, tag: str = "v1.0.0", by: str = "octo", **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", f"{REPO}/releases", by, json={"tag_name": tag, "draft": True, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def publish(self, release: dict[str, Any], **fields: Any) -> httpx.Response:
        return self.call("PATCH", f"{REPO}/releases/{release['id']}", json={"draft": False, **fields})

    def upload(
        self, release: dict[str, Any], name: str, content: bytes, by: str = "octo", label: str = ""
    ) -> httpx.Response:
        url = release["upload_url"].removesuffix("{?name,label}")
        return self.call("POST", url, by, params={"name": name, "label": label}, content=content)

    def assets(self, release: dict[str, Any]) -> list[tuple[str, str]]:
        """Name and state of what the release holds."""
        shown = self.call("GET", f"{REPO}/releases/{release['id']}").json()["assets"]
        return [(asset["name"], asset["state"]) for asset in shown]


@contextmanager
def running(root: Path, http: httpx.Client) -> Iterator[World]:
    github = GitHub(root / "github", Journal(), Faults())
    github.start()
    tokens = {
        "octo": github.add_user("octo", 601),
        "ada": github.add_user("ada", 602),
        "eve": github.add_user("eve", 603),
    }
    git = BareRepository(github.add_repository("acme/widget", 1001, 501))
    github.grant("octo", "acme/widget", "write")
    github.grant("ada", "acme/widget", "admin")
    tokens["job"] = github.add_actions_token("acme/widget")
    made = World(github, git, http, tokens)
    made.commit("first", {"README.md": "hello\n", WORKFLOW: "on: workflow_dispatch\n"})
    yield made
    github.stop()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60.0) as client:
        yield client


@pytest.fixture
def world(tmp_path: Path, http: httpx.Client) -> Iterator[World]:
    with running(tmp_path, http) as made:
        yield made


def message(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["message"]


def first_error(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    found: dict[str, str] = answer.json()["errors"][0]
    return found


# Who may do what


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": "Bearer ghp_guess"}, (401, "Bad credentials")),
        ({"Authorization": "Basic !"}, (401, "Bad credentials")),
        ({"User-Agent": ""}, (403, "Request forbidden by administrative rules. Please send a User-Agent header.")),
        ({"X-GitHub-Api-Version": "2019-01-01"}, (400, "2019-01-01 is not a supported version of the API")),
    ],
    ids=["unknown token", "garbled token", "no user agent", "unknown version"],
)
def test_requests_that_are_not_admitted(world: World, headers: dict[str, str], expected: tuple[int, str]) -> None:
    assert message(world.call("GET", REPO, by="", headers=headers)) == expected


@pytest.mark.parametrize(
    ("by", "status"),
    [("", 401), ("eve", 404), ("octo", 201), ("ada", 201), ("job", 201)],
    ids=["nobody", "stranger", "writer", "admin", "job"],
)
def test_who_may_create_a_release(world: World, by: str, status: int) -> None:
    answer = world.call("POST", f"{REPO}/releases", by, json={"tag_name": "v1", "draft": True})
    assert answer.status_code == status


def test_a_jobs_token_is_the_bot_and_reaches_one_repository(world: World) -> None:
    world.github.add_repository("acme/tap", 1002, 501)
    release = world.release(by="job")

    assert (release["author"]["login"], release["author"]["id"]) == ("github-actions[bot]", 41898282)
    assert release["author"]["type"] == "Bot"
    assert world.call("POST", "/repos/acme/tap/dispatches", "job", json={"event_type": "x"}).status_code == 404
    assert message(world.call("GET", "/user", "job")) == (403, "Resource not accessible by integration")


def test_a_private_repository_is_not_found_by_strangers(world: World) -> None:
    world.github.add_repository("acme/secret", 1003, 501, private=True)
    world.github.grant("octo", "acme/secret", "read")

    statuses = [world.call("GET", "/repos/acme/secret", by).status_code for by in ("", "eve", "octo")]
    assert statuses == [404, 404, 200]


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("admin", ("admin", "admin")),
        ("maintain", ("write", "maintain")),
        ("write", ("write", "write")),
        ("triage", ("read", "triage")),
        ("none", ("read", "read")),
    ],
)
def test_permission_of_a_collaborator(world: World, role: str, shown: tuple[str, str]) -> None:
    world.github.grant("eve", "acme/widget", role)
    answer = world.call("GET", f"{REPO}/collaborators/EVE/permission").json()
    assert (answer["permission"], answer["role_name"]) == shown


def test_permissions_are_told_to_those_who_may_push(world: World) -> None:
    assert world.call("GET", f"{REPO}/collaborators/octo/permission", "eve").status_code == 403
    assert world.call("GET", f"{REPO}/collaborators/nobody/permission").status_code == 404


def test_team_membership(world: World) -> None:
    world.github.add_team("acme/maintainers", ["octo"])
    path = "/orgs/acme/teams/maintainers/memberships/"

    assert world.call("GET", path + "octo").json()["state"] == "active"
    assert world.call("GET", path + "eve").status_code == 404
    assert world.call("GET", "/orgs/acme/teams/others/memberships/octo").status_code == 404


def test_repository_says_who_it_is_and_what_the_caller_may(world: World) -> None:
    shown = world.call("GET", REPO).json()

    assert (shown["id"], shown["full_name"], shown["default_branch"]) == (1001, "acme/widget", "main")
    assert (shown["owner"]["id"], shown["owner"]["type"]) == (501, "Organization")
    assert shown["permissions"] == {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}


# Git


def test_an_annotated_tag_leads_to_its_commit_by_way_of_the_tag_object(world: World) -> None:
    head = world.git.commit_of("main") or ""
    body = {"tag": "v1.0.0", "message": "one", "object": head, "type": "commit"}
    tag = world.call("POST", f"{REPO}/git/tags", json=body).json()
    world.call("POST", f"{REPO}/git/refs", json={"ref": "refs/tags/v1.0.0", "sha": tag["sha"]})

    assert world.call("GET", f"{REPO}/git/ref/tags/v1.0.0").json()["object"]["sha"] == tag["sha"]
    shown = world.call("GET", f"{REPO}/git/tags/{tag['sha']}").json()
    assert shown["object"]["sha"] == head
    assert shown["tagger"]["name"] == "octo"
    assert (shown["verification"]["verified"], shown["verification"]["reason"]) == (False, "unsigned")
    world.github.set_verified("acme/widget", tag["sha"])
    assert world.call("GET", f"{REPO}/git/tags/{tag['sha']}").json()["verification"]["verified"] is True
    assert world.call("GET", f"{REPO}/git/tags/{head}").status_code == 404


def test_a_signed_tag_is_not_verified_by_itself(world: World) -> None:
    head = world.git.commit_of("main") or ""
    signature = "-----BEGIN PGP SIGNATURE-----\nabc\n-----END PGP SIGNATURE-----"
    sha = world.git.write_tag("v1", head, "commit", f"one\n{signature}", SOMEBODY)

    shown = world.call("GET", f"{REPO}/git/tags/{sha}").json()
    assert shown["message"] == "one\n"
    assert shown["verification"]["reason"] == "unknown_key"
    assert signature in shown["verification"]["signature"]


def test_refs_are_found_exactly_or_by_prefix(world: World) -> None:
    head = world.git.commit_of("main") or ""
    for name in ("v1.0.0", "v1.0.0-rc.1", "x/v1"):
        assert world.git.move(f"refs/tags/{name}", head, None)

    found = world.call("GET", f"{REPO}/git/matching-refs/tags/v1").json()
    assert [ref["ref"] for ref in found] == ["refs/tags/v1.0.0", "refs/tags/v1.0.0-rc.1"]
    assert world.call("GET", f"{REPO}/git/ref/tags/x/v1").status_code == 200
    assert world.call("GET", f"{REPO}/git/ref/tags/x%2Fv1").status_code == 200
    assert world.call("GET", f"{REPO}/git/ref/tags/v1").status_code == 404
    assert world.call("GET", f"{REPO}/git/matching-refs/tags/w").json() == []


@pytest.mark.parametrize(
    ("base", "head", "status", "counts"),
    [
        ("main", "main", "identical", (0, 0)),
        ("main", "topic", "diverged", (1, 1)),
        ("start", "main", "ahead", (1, 0)),
        ("main", "start", "behind", (0, 1)),
        ("main", "prerelease/1", "behind", (0, 1)),
    ],
    ids=["identical", "diverged", "ahead", "behind", "branch with a slash"],
)
def test_compare(world: World, base: str, head: str, status: str, counts: tuple[int, int]) -> None:
    start = world.git.commit_of("main") or ""
    world.git.move("refs/tags/start", start, None)
    world.git.move("refs/heads/prerelease/1", start, None)
    world.commit("second", {"a": "a"})
    world.commit("aside", {"b": "b"}, branch="topic", onto=start)

    shown = world.call("GET", f"{REPO}/compare/{base}...{head}").json()
    assert (shown["status"], (shown["ahead_by"], shown["behind_by"])) == (status, counts)
    assert shown["merge_base_commit"]["sha"] == (world.git.commit_of("main") if base == head else start)
    assert len(shown["commits"]) == counts[0]


def test_compare_of_unknown_or_unrelated_commits_is_not_found(world: World) -> None:
    tree = world.git.write_tree(None, [])
    orphan = world.git.write_commit(tree, [], "orphan", SOMEBODY, SOMEBODY)

    assert world.call("GET", f"{REPO}/compare/main...{'0' * 40}").status_code == 404
    assert message(world.call("GET", f"{REPO}/compare/main...{orphan}"))[1].startswith("No common ancestor")


def test_branches_come_in_pages(world: World) -> None:
    head = world.git.commit_of("main") or ""
    for n in range(4):
        world.git.move(f"refs/heads/b{n}", head, None)
    world.github.repository("acme/widget").protected.add("main")

    first = world.call("GET", f"{REPO}/branches?per_page=2")
    second = world.call("GET", first.links["next"]["url"])
    last = world.call("GET", first.links["last"]["url"])
    assert [b["name"] for b in first.json() + second.json() + last.json()] == ["b0", "b1", "b2", "b3", "main"]
    assert last.json()[0]["protected"] is True
    assert "next" not in last.links


def test_an_empty_repository_has_no_git_data_but_takes_a_first_file(world: World) -> None:
    world.github.add_repository("acme/new", 1004, 501)
    world.github.grant("octo", "acme/new", "write")

    assert message(world.call("GET", "/repos/acme/new/git/ref/heads/main")) == (409, "Git Repository is empty.")
    first = {"message": "first", "content": base64.b64encode(b"x").decode()}
    assert world.call("PUT", "/repos/acme/new/contents/a/b.txt", json=first).status_code == 201
    assert world.call("GET", "/repos/acme/new/git/ref/heads/main").status_code == 200


# Files


def test_contents_as_json_as_bytes_and_as_a_folder(world: World) -> None:
    shown = world.call("GET", f"{REPO}/contents/README.md?ref=main").json()
    raw = world.call("GET", f"{REPO}/contents/README.md", headers={"Accept": "application/vnd.github.raw+json"})
    folder = world.call("GET", f"{REPO}/contents/.github/workflows").json()

    assert base64.b64decode(shown["content"]) == raw.content == b"hello\n"
    assert (shown["encoding"], shown["size"]) == ("base64", 6)
    assert [(entry["type"], entry["path"]) for entry in folder] == [("file", WORKFLOW)]
    assert world.call("GET", f"{REPO}/contents/README").status_code == 404
    assert message(world.call("GET", f"{REPO}/contents/README.md?ref=gone"))[0] == 404


@pytest.mark.parametrize(
    ("path", "sha", "status"),
    [
        ("new.txt", None, 201),
        ("README.md", "current", 200),
        ("README.md", None, 422),
        ("README.md", "0" * 40, 409),
        ("new.txt", "0" * 40, 409),
        ("a%2F..%2Fb", None, 422),
    ],
    ids=["new", "replaced", "sha missing", "sha of other bytes", "sha of nothing", "path that climbs"],
)
def test_put_contents(world: World, path: str, sha: str | None, status: int) -> None:
    before = world.git.commit_of("main")
    sent = {"message": "put", "content": base64.b64encode(b"new\n").decode(), "branch": "main"}
    if sha == "current":
        sent["sha"] = world.call("GET", f"{REPO}/contents/{path}").json()["sha"]
    elif sha:
        sent["sha"] = sha
    answer = world.call("PUT", f"{REPO}/contents/{path}", json=sent)

    assert answer.status_code == status
    tip = world.git.commit_of("main") or ""
    if status < 300:
        entry = world.git.entry(tip, path)
        assert entry is not None
        assert world.git.blob(entry.sha) == b"new\n"
        assert world.git.commit(tip).parents == (before,)
        assert answer.json()["commit"]["sha"] == tip
    else:
        assert tip == before


def test_many_files_in_one_commit(world: World) -> None:
    base = world.git.commit_of("main") or ""
    content = base64.b64encode(b"\x00\x01").decode()
    blob = world.call("POST", f"{REPO}/git/blobs", json={"content": content, "encoding": "base64"}).json()["sha"]
    entries = [
        {"path": "bin/x", "mode": "100755", "type": "blob", "sha": blob},
        {"path": "notes.md", "mode": "100644", "type": "blob", "content": "notes"},
        {"path": "README.md", "mode": "100644", "type": "blob", "sha": None},
    ]
    tree = world.call("POST", f"{REPO}/git/trees", json={"base_tree": base, "tree": entries}).json()["sha"]
    sent = {"message": "all", "tree": tree, "parents": [base]}
    commit = world.call("POST", f"{REPO}/git/commits", json=sent).json()
    made = world.call("POST", f"{REPO}/git/refs", json={"ref": "refs/heads/bump", "sha": commit["sha"]})

    assert made.status_code == 201
    assert commit["author"]["name"] == "octo"
    found = world.git.entry(commit["sha"], "bin/x")
    assert found is not None
    assert (found.mode, world.git.blob(found.sha)) == ("100755", b"\x00\x01")
    assert world.git.entry(commit["sha"], "README.md") is None
    assert world.git.entry(commit["sha"], WORKFLOW) is not None


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "git/refs", {"ref": "refs/heads/main", "sha": "HEAD"}, "Reference already exists"),
        ("POST", "git/refs", {"ref": "refs/heads/new", "sha": "0" * 40}, "Object does not exist"),
        ("POST", "git/refs", {"ref": "main", "sha": "HEAD"}, "Reference name is not valid"),
        ("PATCH", "git/refs/heads/main", {"sha": "ASIDE"}, "Update is not a fast forward"),
        ("PATCH", "git/refs/heads/gone", {"sha": "HEAD"}, "Reference does not exist"),
        ("DELETE", "git/refs/heads/gone", None, "Reference does not exist"),
        ("POST", "git/trees", {"tree": [{"path": "../x", "content": "x"}]}, "path contains a malformed path"),
        ("POST", "git/trees", {"tree": [{"path": "x", "sha": "0" * 40}]}, "is not a valid blob"),
        ("POST", "git/commits", {"message": "m", "tree": "0" * 40}, "Tree SHA does not exist"),
        ("POST", "statuses/" + "0" * 40, {"state": "success"}, "No commit found for SHA"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_git_data_refuses(world: World, method: str, path: str, body: dict[str, Any] | None, expected: str) -> None:
    aside = world.commit("aside", {"b": "b"}, branch="topic", onto=world.git.commit_of("main"))
    world.commit("second", {"a": "a"})
    named = {"HEAD": world.git.commit_of("main"), "ASIDE": aside}
    sent = {k: named.get(v, v) if isinstance(v, str) else v for k, v in body.items()} if body else None
    before = world.git.refs()

    status, said = message(world.call(method, f"{REPO}/{path}", json=sent))
    assert status == 422
    assert expected in said
    assert world.git.refs() == before


def test_refs_move_forward_or_by_force_and_go_away(world: World) -> None:
    start = world.git.commit_of("main") or ""
    head = world.commit("second", {"a": "a"}, branch="topic", onto=start)
    path = f"{REPO}/git/refs/heads/main"

    assert world.call("PATCH", path, json={"sha": head}).status_code == 200
    assert world.git.commit_of("main") == head
    assert world.call("PATCH", path, json={"sha": start, "force": True}).status_code == 200
    assert world.git.commit_of("main") == start
    assert world.call("DELETE", f"{REPO}/git/refs/heads/topic").status_code == 204
    assert world.git.ref("refs/heads/topic") is None


# Pull requests


def test_a_pull_request_is_found_by_its_branch_until_it_is_closed(world: World) -> None:
    sha = world.commit("bump", {"a": "a"}, branch="bump", onto=world.git.commit_of("main"))
    sent = {"title": "Bump", "head": "bump", "base": "main", "body": "text"}
    made = world.call("POST", f"{REPO}/pulls", json=sent)
    found = f"{REPO}/pulls?head=acme:bump&base=main"

    assert (made.status_code, made.json()["number"], made.json()["head"]["sha"]) == (201, 1, sha)
    assert [pull["number"] for pull in world.call("GET", found).json()] == [1]
    assert world.call("GET", f"{REPO}/pulls?head=acme:other").json() == []
    pushed = world.commit("more", {"b": "b"}, branch="bump")
    assert world.call("GET", f"{REPO}/pulls/1").json()["head"]["sha"] == pushed
    assert world.call("PATCH", f"{REPO}/pulls/1", json={"state": "closed"}).json()["state"] == "closed"
    assert world.call("GET", found).json() == []
    assert len(world.call("GET", found + "&state=all").json()) == 1
    assert world.call("POST", f"{REPO}/pulls", json=sent).json()["number"] == 2


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"head": "bump"}, {"code": "custom", "message": "A pull request already exists for acme:bump."}),
        ({"head": "main"}, {"code": "custom", "message": "No commits between main and main"}),
        ({"head": "gone"}, {"code": "invalid", "field": "head"}),
        ({"head": "bump", "base": "gone"}, {"code": "invalid", "field": "base"}),
    ],
    ids=["twice", "nothing new", "no such head", "no such base"],
)
def test_pull_requests_that_are_refused(world: World, sent: dict[str, str], expected: dict[str, str]) -> None:
    world.commit("bump", {"a": "a"}, branch="bump", onto=world.git.commit_of("main"))
    world.call("POST", f"{REPO}/pulls", json={"title": "Bump", "head": "bump", "base": "main"})

    answer = world.call("POST", f"{REPO}/pulls", json={"title": "Again", "base": "main", **sent})
    assert first_error(answer) == {"resource": "PullRequest", **expected}
    assert len(world.call("GET", f"{REPO}/pulls").json()) == 1


# Checks


def test_the_latest_run_of_each_check_counts(world: World) -> None:
    sha = world.git.commit_of("main") or ""
    for name, conclusion, app in (("ci", "failure", 15368), ("ci", "success", 15368), ("ci", "success", 7)):
        world.github.set_check("acme/widget", sha, name, conclusion, app)
    world.github.set_check("acme/widget", sha, "slow", None)
    path = f"{REPO}/commits/{sha}/check-runs"

    def runs(query: str) -> set[tuple[str, int, str, str | None]]:
        shown = world.call("GET", path + query).json()
        assert shown["total_count"] == len(shown["check_runs"])
        return {(r["name"], r["app"]["id"], r["status"], r["conclusion"]) for r in shown["check_runs"]}

    actions, other = ("ci", 15368, "completed", "success"), ("ci", 7, "completed", "success")
    slow = ("slow", 15368, "in_progress", None)
    assert runs("") == {actions, other, slow}
    assert runs("?check_name=ci&app_id=7") == {other}
    assert ("ci", 15368, "completed", "failure") in runs("?filter=all")
    assert world.call("GET", f"{REPO}/commits/main/check-runs").json()["total_count"] == 3


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "pending"),
        ([("ci", "success")], "success"),
        ([("ci", "success"), ("lint", "pending")], "pending"),
        ([("ci", "success"), ("lint", "error")], "failure"),
        ([("ci", "failure"), ("CI", "success")], "success"),
    ],
    ids=["none", "all green", "one waits", "one broke", "the newest of a context"],
)
def test_combined_status(world: World, states: list[tuple[str, str]], expected: str) -> None:
    sha = world.git.commit_of("main")
    for context, state in states:
        made = world.call("POST", f"{REPO}/statuses/{sha}", json={"state": state, "context": context})
        assert made.status_code == 201
    assert world.call("GET", f"{REPO}/commits/{sha}/status").json()["state"] == expected


def test_approvals_of_a_run(world: World) -> None:
    world.github.set_approval("acme/widget", 7, "ada", "pypi", comment="go")

    shown = world.call("GET", f"{REPO}/actions/runs/7/approvals").json()
    assert [(a["user"]["login"], a["state"], a["environments"][0]["name"]) for a in shown] == [
        ("ada", "approved", "pypi")
    ]
    assert world.call("GET", f"{REPO}/actions/runs/8/approvals").json() == []


# Dispatches


def test_dispatches_are_recorded(world: World) -> None:
    sent = {"event_type": "update", "client_payload": {"version": "1.0.0"}}
    assert world.call("POST", f"{REPO}/dispatches", json=sent).status_code == 204
    path = f"{REPO}/actions/workflows/publish.yml/dispatches"
    newer = {"X-GitHub-Api-Version": "2026-03-10"}
    assert world.call("POST", path, json={"ref": "main"}).status_code == 204
    assert world.call("POST", path, json={"ref": "main"}, headers=newer).json()["workflow_run_id"] > 0

    seen = [(d.event, d.ref, d.payload, d.sender) for d in world.github.dispatches]
    assert seen == [("update", None, {"version": "1.0.0"}, "octo")] + [("publish.yml", "main", {}, "octo")] * 2


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("dispatches", {"event_type": "x" * 101}, 422),
        ("dispatches", {"event_type": "x", "client_payload": {str(n): n for n in range(11)}}, 422),
        ("dispatches", {"event_type": "x", "client_payload": {"a": "x" * 65536}}, 422),
        ("actions/workflows/gone.yml/dispatches", {"ref": "main"}, 404),
        ("actions/workflows/publish.yml/dispatches", {"ref": "gone"}, 422),
        (
            "actions/workflows/publish.yml/dispatches",
            {"ref": "main", "inputs": dict.fromkeys(MANY)},
            422,
        ),
    ],
    ids=["long name", "many keys", "large payload", "no such workflow", "no such ref", "many inputs"],
)
def test_dispatches_that_are_refused(world: World, path: str, sent: dict[str, Any], status: int) -> None:
    assert world.call("POST", f"{REPO}/{path}", json=sent).status_code == status
    assert world.github.dispatches == []


# Releases


def test_drafts_share_a_tag_and_are_seen_by_those_who_may_push(world: World) -> None:
    made = [world.release(), world.release()]
    path = f"{REPO}/releases"

    assert made[0]["id"] < made[1]["id"]
    assert "/releases/tag/untagged-" in made[0]["html_url"]
    assert [r["id"] for r in world.call("GET", path).json()] == [made[1]["id"], made[0]["id"]]
    assert world.call("GET", path, "eve").json() == []
    assert world.call("GET", f"{path}/{made[0]['id']}").status_code == 200
    assert world.call("GET", f"{path}/{made[0]['id']}", "eve").status_code == 404
    assert world.call("GET", f"{path}/tags/v1.0.0").status_code == 404
    assert world.git.ref("refs/tags/v1.0.0") is None


def test_publishing_makes_the_tag_and_keeps_the_author(world: World) -> None:
    start = world.git.commit_of("main") or ""
    world.commit("second", {"a": "a"})
    draft = world.release(by="job", target_commitish=start)
    shown = world.publish(draft).json()

    tag = world.git.ref("refs/tags/v1.0.0")
    assert tag is not None
    assert tag.sha == start
    assert (shown["draft"], shown["author"]["login"]) == (False, "github-actions[bot]")
    assert shown["published_at"] is not None
    assert shown["html_url"] == f"{world.github.url}/acme/widget/releases/tag/v1.0.0"
    assert world.call("GET", f"{REPO}/releases/tags/v1.0.0", "").json()["id"] == draft["id"]


def test_publishing_leaves_a_tag_that_exists_alone(world: World) -> None:
    start = world.git.commit_of("main") or ""
    world.git.move("refs/tags/v1.0.0", start, None)
    world.commit("second", {"a": "a"})
    world.publish(world.release(target_commitish="main"))

    assert world.git.commit_of("refs/tags/v1.0.0") == start


def test_one_tag_has_one_published_release(world: World) -> None:
    first, second = world.release(), world.release()
    assert world.publish(first).status_code == 200

    expected = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
    assert first_error(world.publish(second)) == expected
    assert first_error(world.call("POST", f"{REPO}/releases", json={"tag_name": "v1.0.0"})) == expected
    assert world.call("GET", f"{REPO}/releases/{second['id']}").json()["draft"] is True
    assert world.publish(first, body="edited").json()["body"] == "edited"


@pytest.mark.parametrize(
    ("sent", "field_name"),
    [
        ({"tag_name": "v1..0"}, "tag_name"),
        ({"tag_name": "v1", "target_commitish": "gone"}, "target_commitish"),
        ({"tag_name": "v1", "target_commitish": "refs/heads/main"}, "target_commitish"),
        ({"tag_name": "v1", "target_commitish": "0" * 40}, "target_commitish"),
        ({"tag_name": "v1", "body": "x" * 125_001}, "body"),
    ],
    ids=["no tag name", "no such branch", "full ref", "no such commit", "long body"],
)
@pytest.mark.parametrize("draft", [True, False], ids=["draft", "published"])
def test_releases_that_are_refused(world: World, sent: dict[str, str], field_name: str, draft: bool) -> None:
    answer = world.call("POST", f"{REPO}/releases", json={"draft": draft, **sent})
    assert first_error(answer)["field"] == field_name
    assert world.call("GET", f"{REPO}/releases").json() == []
    assert world.git.refs("refs/tags/") == []


@pytest.mark.parametrize(
    ("make_latest", "latest"),
    [(None, "v1.0.1"), ("true", "v1.0.1"), ("false", "v2.0.0"), ("legacy", "v2.0.0")],
)
def test_the_latest_release(world: World, make_latest: str | None, latest: str) -> None:
    old = world.git.commit_of("main")
    author = Person("Somebody", "somebody@example.invalid", "2026-02-01T00:00:00Z")
    new = world.git.write_commit(world.git.commit(old or "").tree, [old or ""], "new", author, author)
    assert world.call("GET", f"{REPO}/releases/latest").status_code == 404
    world.publish(world.release("v2.0.0", target_commitish=new))
    world.publish(world.release("v3.0.0-rc.1", target_commitish=new, prerelease=True))
    asked = {"make_latest": make_latest} if make_latest else {}
    world.publish(world.release("v1.0.1", target_commitish=old), **asked)

    assert world.call("GET", f"{REPO}/releases/latest").json()["tag_name"] == latest


def test_releases_come_in_pages(world: World) -> None:
    made = [world.release(f"v{n}")["id"] for n in range(3)]
    first = world.call("GET", f"{REPO}/releases?per_page=2")

    rest = world.call("GET", first.links["next"]["url"]).json()
    assert [r["id"] for r in first.json() + rest] == made[::-1]


def test_generated_notes_tell_the_commits_since_the_previous_tag(world: World) -> None:
    world.publish(world.release("v1.0.0"))
    world.commit("a fix\n\nwith reasons", {"a": "a"})
    notes = world.call("POST", f"{REPO}/releases/generate-notes", json={"tag_name": "v1.0.1"}).json()

    assert notes["name"] == "v1.0.1"
    assert "* a fix by @Somebody\n" in notes["body"]
    assert "first" not in notes["body"]
    assert notes["body"].endswith("/acme/widget/compare/v1.0.0...v1.0.1")
    assert len(world.call("GET", f"{REPO}/releases").json()) == 1


def test_a_deleted_release_is_gone_with_its_assets(world: World) -> None:
    release = world.release()
    asset = world.upload(release, "a.txt", b"a").json()

    assert world.call("DELETE", f"{REPO}/releases/{release['id']}").status_code == 204
    assert world.call("GET", f"{REPO}/releases/{release['id']}").status_code == 404
    assert world.call("GET", f"{REPO}/releases/assets/{asset['id']}").status_code == 404
    assert list(world.github.objects.iterdir()) == []


# Assets


def test_an_upload_is_digested_by_the_server_and_read_back(world: World) -> None:
    release, content = world.release(), os.urandom(9 << 20)  # beyond what stays in memory
    assert release["upload_url"].startswith(f"{world.github.url}/uploads/repos/acme/widget/releases/")
    asset = world.upload(release, "tool-1.0.tar.gz", content, by="job", label="The tool").json()

    assert asset["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert (asset["state"], asset["size"], asset["label"]) == ("uploaded", len(content), "The tool")
    assert (asset["uploader"]["login"], asset["uploader"]["type"]) == ("github-actions[bot]", "Bot")
    path = f"{REPO}/releases/assets/{asset['id']}"
    assert world.call("GET", path).json() == asset
    answer = world.call("GET", path, headers={"Accept": "application/octet-stream"})
    assert answer.status_code == 302
    assert world.http.get(answer.headers["Location"]).content == content


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a_b-1.0.txt", "a_b-1.0.txt"), ("a+b.whl", "a.b.whl"), ("a b~c.txt", "a.b.c.txt"), ("é.txt", "..txt")],
)
def test_unusual_characters_in_names_are_rewritten(world: World, sent: str, kept: str) -> None:
    assert world.upload(world.release(), sent, b"x").json()["name"] == kept


def test_a_name_is_taken_once(world: World) -> None:
    release = world.release()
    world.upload(release, "a+b.txt", b"first")
    expected = {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}

    assert first_error(world.upload(release, "a.b.txt", b"second")) == expected
    other = world.upload(release, "c.txt", b"third").json()
    renamed = world.call("PATCH", f"{REPO}/releases/assets/{other['id']}", json={"name": "a.b.txt"})
    assert first_error(renamed) == expected
    assert world.assets(release) == [("a.b.txt", "uploaded"), ("c.txt", "uploaded")]
    assert len(list(world.github.objects.iterdir())) == 2


def test_empty_files_and_unknown_lengths_are_refused(world: World) -> None:
    release = world.release()
    assert first_error(world.upload(release, "empty.txt", b""))["field"] == "size"
    url = release["upload_url"].removesuffix("{?name,label}")
    chunked = world.call("POST", url, params={"name": "a"}, content=iter([b"x"]))

    assert message(chunked) == (400, "Bad Content-Length: ")
    assert world.assets(release) == []


def test_a_gateway_error_leaves_a_ghost_that_must_be_deleted_first(world: World) -> None:
    release = world.release()
    world.github.faults.add(Fault("github.upload-asset", "status", status=502))

    assert world.upload(release, "a.txt", b"x").status_code == 502
    assert world.assets(release) == [("a.txt", "starter")]
    assert first_error(world.upload(release, "a.txt", b"x"))["code"] == "already_exists"
    ghost = world.call("GET", f"{REPO}/releases/{release['id']}/assets").json()[0]
    assert (ghost["size"], ghost["digest"]) == (0, None)
    assert world.call("DELETE", f"{REPO}/releases/assets/{ghost['id']}").status_code == 204
    assert world.upload(release, "a.txt", b"x").status_code == 201


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (Fault("github.upload-asset", "status", status=500), []),
        (Fault("github.upload-asset", "lie", status=502), [("a.txt", "uploaded")]),
    ],
    ids=["refused", "done but denied"],
)
def test_other_faults_leave_no_ghost(world: World, fault: Fault, left: list[tuple[str, str]]) -> None:
    release = world.release()
    world.github.faults.add(fault)
    assert world.upload(release, "a.txt", b"x").status_code == fault.status
    assert world.assets(release) == left


def test_an_upload_whose_answer_is_lost_has_happened(world: World) -> None:
    release = world.release()
    world.github.faults.add(Fault("github.upload-asset", "drop"))
    with pytest.raises(httpx.RemoteProtocolError):
        world.upload(release, "a.txt", b"x")
    assert world.assets(release) == [("a.txt", "uploaded")]


def test_downloads_are_public_once_the_release_is(world: World) -> None:
    release = world.release()
    asset = world.upload(release, "a.txt", b"bytes").json()
    address = f"{world.github.url}/acme/widget/releases/download/v1.0.0/a.txt"

    drafted = [world.http.get(url).status_code for url in (asset["browser_download_url"], address)]
    assert drafted == [404, 404]
    published = world.publish(release).json()["assets"][0]
    assert published["browser_download_url"] == address
    assert world.http.get(address, follow_redirects=True).content == b"bytes"
    assert world.http.head(address, follow_redirects=True).headers["Content-Length"] == "5"


@pytest.mark.parametrize("immutable", [True, False], ids=["immutable", "mutable"])
def test_an_immutable_release_is_frozen_when_it_is_published(world: World, immutable: bool) -> None:
    world.github.repository("acme/widget").immutable = immutable
    release = world.release()
    asset = world.upload(release, "a.txt", b"x").json()
    path = f"{REPO}/releases/assets/{asset['id']}"
    assert world.call("PATCH", path, json={"label": "while a draft"}).status_code == 200
    assert world.publish(release).json()["immutable"] is immutable

    if immutable:
        upload = world.upload(release, "b.txt", b"x")
        assert message(upload) == (422, "Cannot upload assets to an immutable release")
        deleted = world.call("DELETE", path)
        assert message(deleted) == (422, "Cannot delete asset from an immutable release")
        assert world.call("PATCH", path, json={"name": "c.txt"}).status_code == 422
        assert world.publish(release, tag_name="v2").status_code == 422
        assert world.assets(release) == [("a.txt", "uploaded")]
    else:
        assert world.upload(release, "b.txt", b"x").status_code == 201
        assert world.call("DELETE", path).status_code == 204
    assert world.publish(release, body="still editable").json()["body"] == "still editable"


def test_the_tag_of_an_immutable_release_is_burnt(world: World) -> None:
    world.github.repository("acme/widget").immutable = True
    assert world.call("GET", f"{REPO}/immutable-releases", "ada").json()["enabled"] is True
    release = world.release()
    world.publish(release)
    world.call("DELETE", f"{REPO}/releases/{release['id']}")

    refused = first_error(world.publish(world.release()))
    assert refused["message"] == "tag_name was used by an immutable release"


# The published schema


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, http: httpx.Client) -> Iterator[World]:
    """Something behind every address that is read."""
    with running(tmp_path_factory.mktemp("full"), http) as world:
        head = world.git.commit_of("main") or ""
        world.git.move("refs/tags/v1.0.0", world.git.write_tag("v1.0.0", head, "commit", "one", SOMEBODY), None)
        for branch in ("bump", "other"):
            world.commit("bump", {"a": "a"}, branch=branch, onto=head)
        world.call("POST", f"{REPO}/pulls", json={"title": "Other", "head": "other", "base": "main"})
        world.call("POST", f"{REPO}/statuses/{head}", json={"state": "success"})
        world.github.add_team("acme/maintainers", ["octo"])
        world.github.set_check("acme/widget", head, "ci", "success")
        world.github.set_check("acme/widget", head, "slow", None)
        world.github.set_approval("acme/widget", 7, "ada", "pypi")
        release = world.release(name="One", body="text")
        world.upload(release, "a.txt", b"x")
        world.publish(release)
        world.github.repository("acme/widget").immutable = True
        yield world


Read = Callable[[Any, str], Any]

READS: dict[str, Read] = {
    "repository": lambda rest, _: rest.repos.get("acme", "widget"),
    "viewer": lambda rest, _: rest.users.get_authenticated(),
    "user": lambda rest, _: rest.users.get_by_username("eve"),
    "permission": lambda rest, _: rest.repos.get_collaborator_permission_level("acme", "widget", "octo"),
    "membership": lambda rest, _: rest.teams.get_membership_for_user_in_org("acme", "maintainers", "octo"),
    "immutable releases": lambda rest, _: rest.repos.check_immutable_releases("acme", "widget"),
    "ref": lambda rest, _: rest.git.get_ref("acme", "widget", "tags/v1.0.0"),
    "matching refs": lambda rest, _: rest.git.list_matching_refs("acme", "widget", "tags/v"),
    "tag": lambda rest, tag: rest.git.get_tag("acme", "widget", tag),
    "git commit": lambda rest, _: rest.git.get_commit(
        "acme", "widget", rest.git.get_ref("acme", "widget", "heads/main").parsed_data.object_.sha
    ),
    "commit": lambda rest, _: rest.repos.get_commit("acme", "widget", "main"),
    "commits": lambda rest, _: rest.repos.list_commits("acme", "widget", per_page=1),
    "compare": lambda rest, _: rest.repos.compare_commits("acme", "widget", "main...bump"),
    "branches": lambda rest, _: rest.repos.list_branches("acme", "widget"),
    "file": lambda rest, _: rest.repos.get_content("acme", "widget", "README.md"),
    "folder": lambda rest, _: rest.repos.get_content("acme", "widget", ".github"),
    "checks": lambda rest, _: rest.checks.list_for_ref("acme", "widget", "main"),
    "combined status": lambda rest, _: rest.repos.get_combined_status_for_ref("acme", "widget", "main"),
    "approvals": lambda rest, _: rest.actions.get_reviews_for_run("acme", "widget", 7),
    "releases": lambda rest, _: rest.repos.list_releases("acme", "widget"),
    "latest release": lambda rest, _: rest.repos.get_latest_release("acme", "widget"),
    "release by tag": lambda rest, _: rest.repos.get_release_by_tag("acme", "widget", "v1.0.0"),
    "pulls": lambda rest, _: rest.pulls.list("acme", "widget", state="all"),
    "status": lambda rest, _: rest.repos.create_commit_status(
        "acme", "widget", rest.repos.get_commit("acme", "widget", "main").parsed_data.sha, state="success"
    ),
    "pull": lambda rest, _: rest.pulls.create("acme", "widget", title="Bump", head="bump", base="main"),
    "release": lambda rest, _: rest.repos.create_release("acme", "widget", tag_name="v2", draft=True),
    "notes": lambda rest, _: rest.repos.generate_release_notes("acme", "widget", tag_name="v2"),
    "blob": lambda rest, _: rest.git.create_blob("acme", "widget", content="x"),
    "put contents": lambda rest, _: rest.repos.create_or_update_file_contents(
        "acme", "widget", "new.txt", message="new", content="eA=="
    ),
    "workflow dispatch": lambda rest, _: rest.actions.create_workflow_dispatch(
        "acme", "widget", "publish.yml", ref="main"
    ),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_answers_satisfy_githubs_published_schema(full: World, read: Read) -> None:
    tag = full.git.ref("refs/tags/v1.0.0")
    with Client(full.tokens["ada"], base_url=full.github.url, auto_retry=False, http_cache=False) as client:
        parsed = read(client.rest, tag.sha if tag else "").parsed_data
    assert parsed
