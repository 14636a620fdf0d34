"""What GitHub's answers say, field by field, in whatever a release may come by.

docs.github.com/rest (repos, users, collaborators, checks, commit statuses, git database, contents, pulls, releases,
and the pages on authentication and pagination). Only the rehearsal can be held to it: the emulator fills in little of
it, and GitHub itself is not here.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from releaser.adapters.github import ACTIONS
from releaser.rehearsal.github import GitHub
from releaser.rehearsal.server import Fault
from tests.contracts.forges import (
    BYTES,
    MANY,
    OWNER,
    PEOPLE,
    RAW,
    REPOSITORIES,
    SECRET,
    TOOL,
    Home,
    fixtures,
    said,
)
from tests.contracts.table import REHEARSAL

TITLE = "GitHub: what its answers say"
NOREPLY = "users.noreply.example.invalid"
SIGNATURE = "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n"

home = fixtures(REHEARSAL)


@pytest.fixture
def world(home: Home) -> GitHub:
    assert home.world is not None
    return home.world


def fields(value: dict[str, Any], holding: object) -> set[str]:
    """The names of the fields that are exactly *holding*."""
    return {name for name, found in value.items() if found == holding and type(found) is type(holding)}


def picked(value: dict[str, Any], names: str) -> tuple[Any, ...]:
    return tuple(value[name] for name in names.split())


# Who and where


@pytest.mark.parametrize("name", [TOOL, SECRET])
def test_repository(home: Home, name: str) -> None:
    """A repository says who may see it, where it is cloned from, and what it has"""
    value = home.call("GET", f"/repos/{name}").json()
    number = REPOSITORIES.index(name) + 1
    secret = name == SECRET
    assert picked(value, "id name full_name default_branch") == (number, name.removeprefix("octo/"), name, "main")
    assert picked(value, "private visibility") == ((True, "private") if secret else (False, "public"))
    assert picked(value, "clone_url git_url ssh_url svn_url") == (
        *(f"{home.url}/{name}.git", f"git://127.0.0.1/{name}.git"),
        *(f"git@127.0.0.1:{name}.git", f"{home.url}/{name}"),
    )
    assert fields(value, True) - {"private"} == {"has_issues", "has_projects", "has_wiki", "has_downloads"}
    absent = {"fork", "archived", "disabled", "has_pages", "has_discussions"}
    assert fields(value, False) - {"private"} == absent
    counted = {f"{what}_count" for what in ("forks", "open_issues", "stargazers", "watchers", "subscribers", "network")}
    assert fields(value, 0) == counted | {"forks", "open_issues", "watchers", "size"}
    assert fields(value, None) == {"description", "homepage", "language", "license", "mirror_url"}
    assert value["topics"] == []


@pytest.mark.parametrize(
    ("role", "old", "may"),
    [
        ("read", "read", "pull"),
        ("triage", "read", "pull triage"),
        ("write", "write", "pull triage push"),
        ("maintain", "write", "pull triage push maintain"),
        ("admin", "admin", "pull triage push maintain admin"),
    ],
)
def test_role(home: Home, world: GitHub, role: str, old: str, may: str) -> None:
    """A role includes those below it, and has one of four old names"""
    world.grant("eve", SECRET, role)
    try:
        shown = home.call("GET", f"/repos/{SECRET}/collaborators/eve/permission").json()
        permissions = home.call("GET", f"/repos/{SECRET}", "eve").json()["permissions"]
    finally:
        world.grant("eve", SECRET, "none")
    assert picked(shown, "permission role_name") == (old, role)
    assert picked(shown["user"], "login role_name") == ("eve", role)
    assert fields(permissions, True) == set(may.split())


def test_no_role(home: Home) -> None:
    """Who was given no role may read what is public; who says nothing of themselves is told of no permission"""
    for name, held in ((TOOL, "read"), (SECRET, "none")):
        shown = home.call("GET", f"/repos/{name}/collaborators/eve/permission").json()
        assert picked(shown, "permission role_name") == (held, held)
    owner = home.call("GET", f"collaborators/{OWNER}/permission").json()
    assert picked(owner, "permission role_name") == ("admin", "admin")
    assert "permissions" in home.call("GET", f"/repos/{TOOL}", "eve").json()
    assert "permissions" not in home.call("GET", f"/repos/{TOOL}", "").json()


@pytest.mark.parametrize(("login", "public"), [(OWNER, 2), ("ana", 0)])
def test_account(home: Home, login: str, public: int) -> None:
    """An account has a number, an avatar, and the count of its public repositories"""
    for value in (home.call("GET", f"/users/{login.upper()}").json(), home.call("GET", "/user", login).json()):
        assert picked(value, "login name id type") == (login, login, PEOPLE[login], "User")
        assert picked(value, "user_view_type site_admin gravatar_id") == ("public", False, "")
        assert value["avatar_url"].endswith(f"/u/{PEOPLE[login]}?v=4")
        assert fields(value, None) == {"company", "blog", "location", "email", "hireable", "bio"}
        assert picked(value, "public_repos public_gists followers following") == (public, 0, 0, 0)


def test_member(home: Home) -> None:
    """A member of a team has a role in it, also by names in capitals"""
    shown = home.call("GET", "/orgs/Acme/teams/Crew/memberships/Ana").json()
    assert picked(shown, "role state") == ("member", "active")
    assert shown["url"].endswith("/orgs/Acme/teams/Crew/memberships/Ana")


def test_tokens(home: Home) -> None:
    """A token tells its kind: `ghp_` a person's, `ghs_` a job's, and 36 letters and digits"""
    kinds = {name: token[:4] for name, token in home.tokens.items() if re.fullmatch(r"gh._[0-9A-Za-z]{36}", token)}
    assert kinds == {**dict.fromkeys(PEOPLE, "ghp_"), "job": "ghs_"}


def test_job(home: Home) -> None:
    """What a job does, the Actions bot did; it reads what is public, and no other secret"""
    made = home.call("POST", "releases", "job", json={"tag_name": home.fresh(), "draft": True}).json()
    assert picked(made["author"], "login id type") == (ACTIONS.login, ACTIONS.id, "Bot")
    statuses = [home.call("GET", f"/repos/{name}", "job").status_code for name in (MANY, SECRET)]
    assert statuses == [200, 404]


@pytest.mark.parametrize(
    ("scheme", "pair", "status"),
    [
        ("Basic", "{token}:", 200),
        ("Basic", "x-access-token:{token}", 200),
        ("Basic", "x-access-token:{token}:more", 401),
        ("Basic", "\xff", 401),
        ("Basic", None, 401),
        ("token", None, 200),
        ("bearer", None, 200),
    ],
    ids=["user", "password", "more", "no text", "no base64", "token", "bearer"],
)
def test_credentials(home: Home, scheme: str, pair: str | None, status: int) -> None:
    """A token is given by itself, or as the user or password of basic authentication"""
    token = home.tokens[OWNER]
    basic = base64.b64encode((pair or "").format(token=token).encode("latin-1")).decode()
    given = token if pair is None else basic
    answer = home.call("GET", "/user", "", headers={"Authorization": f"{scheme} {given}"})
    assert said(answer) == ("200" if status == 200 else "401 Bad credentials")


def test_error(home: Home) -> None:
    """An error says what is wrong, which status it has, and where to read about it"""
    missing = home.call("GET", "releases/999999").json()
    assert missing == {
        "message": "Not Found",
        "status": "404",
        "documentation_url": "https://docs.github.com/rest",
    }
    assert home.call("POST", "releases", json={}).json()["documentation_url"] == missing["documentation_url"]


def test_location(home: Home) -> None:
    """What was made is where `Location` says"""
    commit = home.head
    sent: dict[str, Any] = {
        "git/refs": {"ref": f"refs/tags/{home.fresh()}", "sha": commit},
        "git/tags": {"tag": "v0", "message": "x", "object": commit, "type": "commit"},
        "releases": {"tag_name": home.fresh(), "draft": True},
    }
    for path, body in sent.items():
        made = home.call("POST", path, json=body)
        shown = home.call("GET", made.headers["location"].replace("/git/refs/", "/git/ref/"))
        assert (made.status_code, made.headers["location"]) == (201, made.json()["url"])
        assert shown.json() == made.json()


def test_node_ids(home: Home, world: GitHub) -> None:
    """Objects of every kind have an identifier, in the form of GitHub's examples"""
    tag, branch, commit = home.fresh(), home.branch(), home.commit()
    home.commit(branch)
    release = home.draft(tag)
    asset = home.upload(release, "tool", b"x").json()
    pull = home.call("POST", "pulls", json={"title": "x", "head": branch, "base": "main"}).json()
    sent = {"tag": tag, "message": "x", "object": commit, "type": "commit"}
    status = home.call("POST", f"statuses/{commit}", json={"state": "success"}).json()
    world.set_check(TOOL, commit, "ci", "success")
    world.set_approval(TOOL, 70, "ana", "pypi")
    (check,) = home.call("GET", f"commits/{commit}/check-runs").json()["check_runs"]
    (approval,) = home.call("GET", "actions/runs/70/approvals").json()
    (environment,) = approval["environments"]
    kinds = [
        *(
            (kind, value, value["id"])
            for kind, value in (("Release", home.call("GET", f"releases/{release.id}").json()),)
        ),
        *(("ReleaseAsset", asset, asset["id"]), ("PullRequest", pull, pull["id"]), ("Status", status, status["id"])),
        *(("CheckRun", check, check["id"]), ("App", check["app"], 15368)),
        *(("Organization", check["app"]["owner"], 9919), ("Environment", environment, environment["id"])),
        *(("User", asset["uploader"], PEOPLE[OWNER]), ("Repository", pull["head"]["repo"], 1)),
        ("Ref", home.call("GET", f"git/ref/heads/{branch}").json(), f"refs/heads/{branch}"),
        ("Commit", home.call("GET", f"commits/{commit}").json(), commit),
    ]
    made = home.call("POST", "git/tags", json=sent).json()
    for kind, value, identity in [*kinds, ("Tag", made, made["sha"])]:
        assert base64.b64decode(value["node_id"]).decode() == f"0{len(kind)}:{kind}{identity}"


def test_pages(home: Home) -> None:
    """A page has thirty, and `Link` names those around it; one page alone needs none"""
    for number in range(61):
        path = f"/repos/{MANY}/releases"
        assert home.call("POST", path, json={"tag_name": f"v0.{number}", "draft": True}).status_code == 201
    middle = home.call("GET", path, params={"page": "2"})
    assert len(middle.json()) == 30
    pages = {rel: httpx.URL(link["url"]).params for rel, link in middle.links.items()}
    assert {rel: params["page"] for rel, params in pages.items()} == {
        "prev": "1",
        "next": "3",
        "last": "3",
        "first": "1",
    }
    last = home.call("GET", path, params={"page": "3", "per_page": "30"})
    assert (len(last.json()), set(last.links)) == (1, {"prev", "first"})
    assert httpx.URL(last.links["prev"]["url"]).params["per_page"] == "30"
    assert "link" not in home.call("GET", path, params={"per_page": "61"}).headers
    odd = home.call("GET", path, params={"per_page": "0", "page": "none"})
    assert [r["id"] for r in odd.json()] == [middle.json()[0]["id"] + 30]


# Checks, statuses, approvals


def test_check(home: Home, world: GitHub) -> None:
    """A check names the app that made it, and when it was begun and completed"""
    commit, app = home.commit(), 15368
    world.set_check(TOOL, commit, "ci", "success")
    world.set_check(TOOL, commit, "other", None, app_id=77)
    other, done = home.call("GET", f"commits/{commit}/check-runs").json()["check_runs"]
    assert picked(done["app"], "id slug name description") == (app, "github-actions", "GitHub Actions", None)
    assert done["app"]["html_url"] == done["app"]["external_url"] == f"{home.url}/apps/github-actions"
    assert picked(done["app"]["owner"], "login id type") == ("github", 9919, "Organization")
    assert picked(other["app"], "id slug name") == (77, "app-77", "App 77")
    assert (done["completed_at"], other["completed_at"]) == (done["started_at"], None)
    assert fields(done["output"], None) == {"title", "summary", "text"}
    assert done["output"]["annotations_count"] == 0
    assert done["details_url"] == done["html_url"]


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({}, ["ci success", "lint None", "ci failure"]),
        ({"filter": "latest"}, ["ci success", "lint None", "ci failure"]),
        ({"filter": "all"}, ["ci success", "lint None", "ci failure", "ci cancelled"]),
        ({"check_name": "lint"}, ["lint None"]),
        ({"app_id": "77"}, ["ci failure"]),
        ({"status": "completed"}, ["ci success", "ci failure"]),
        ({"status": "in_progress"}, ["lint None"]),
    ],
    ids=lambda value: " ".join(value.values()) or "no" if isinstance(value, dict) else "",
)
def test_checks(home: Home, world: GitHub, asked: dict[str, str], seen: list[str]) -> None:
    """Of each check the newest run of each app is listed, or all of them, newest first"""
    commit = home.commit()
    world.set_check(TOOL, commit, "ci", "cancelled")
    world.set_check(TOOL, commit, "ci", "failure", app_id=77)
    world.set_check(TOOL, commit, "lint", None)
    world.set_check(TOOL, commit, "ci", "success")
    shown = home.call("GET", f"commits/{commit}/check-runs", params=asked).json()
    assert [f"{run['name']} {run['conclusion']}" for run in shown["check_runs"]] == seen
    assert shown["total_count"] == len(seen)


def test_status(home: Home) -> None:
    """The newest status of a context counts, however it is spelt, and says who set it"""
    commit, link = home.commit(), "https://ci.example.invalid/7"
    for sent in ({"context": "CI", "state": "error"}, {"context": "ci", "state": "failure"}):
        assert home.call("POST", f"statuses/{commit}", json=sent).status_code == 201
    sent = {"state": "success", "description": "fine", "target_url": link}
    made = home.call("POST", f"statuses/{commit}", "ana", json=sent).json()
    assert picked(made, "state context description target_url") == ("success", "default", "fine", link)
    assert made["creator"]["login"] == "ana"
    shown = home.call("GET", f"commits/{commit}/status").json()
    assert [picked(s, "context state description") for s in shown["statuses"]] == [
        ("default", "success", "fine"),
        ("ci", "failure", None),
    ]
    assert picked(shown, "state total_count") == ("failure", 2)
    assert shown["repository"]["full_name"] == TOOL
    assert shown["statuses"][0]["avatar_url"].endswith(f"/u/{PEOPLE['ana']}?v=4")


def test_environment(home: Home, world: GitHub) -> None:
    """A review names its environments, each with a number and its pages"""
    world.set_approval(TOOL, 71, "ana", "pypi", "rejected")
    (review,) = home.call("GET", "actions/runs/71/approvals").json()
    assert picked(review, "state comment") == ("rejected", "")
    (environment,) = review["environments"]
    assert environment["url"] == f"{home.url}/repos/{TOOL}/environments/pypi"
    listed = f"{home.url}/{TOOL}/deployments/activity_log?environments_filter=pypi"
    assert (environment["html_url"], environment["id"] > 0) == (listed, True)


# Git data


def test_signer(home: Home) -> None:
    """A commit is by whom it says, committed by its author, and by the caller when it says nothing"""
    tree = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
    ana = {"name": "Ana", "email": "ana@example.invalid", "date": "2026-01-02T03:04:05Z"}
    bo = {"name": "Bo", "email": "bo@example.invalid", "date": "2026-01-03T03:04:05Z"}
    people: list[dict[str, Any]] = [{"author": ana}, {"author": ana, "committer": bo}]
    for sent, committer in zip(people, (ana, bo), strict=True):
        made = home.call("POST", "git/commits", json={"message": "x", "tree": tree, **sent}).json()
        assert picked(made, "author committer parents") == (ana, committer, [])
    undated = {"name": "Ana", "email": "ana@example.invalid"}
    for sent, name, email in (
        ({}, "ana", f"{PEOPLE['ana']}+ana@{NOREPLY}"),
        ({"author": undated}, "Ana", "ana@example.invalid"),
    ):
        made = home.call("POST", "git/commits", "ana", json={"message": "x", "tree": tree, **sent}).json()
        assert made["author"] == made["committer"]
        assert picked(made["author"], "name email") == (name, email)
        assert datetime.fromisoformat(made["author"]["date"]).tzinfo is not None


def test_verification(home: Home, world: GitHub) -> None:
    """A signature is valid, or of a key that nobody knows, or there is none"""
    git, commit = world.repository(TOOL).git, home.head
    ana = git.commit(commit).author
    signed, unknown = (git.write_tag(name, commit, "commit", f"x\n{SIGNATURE}", ana) for name in ("v0-s", "v0-u"))
    unsigned = git.write_tag("v0-n", commit, "commit", "x", ana)
    world.set_verified(TOOL, signed)
    found = [home.call("GET", f"git/tags/{sha}").json()["verification"] for sha in (signed, unknown, unsigned)]
    assert [(v["verified"], v["reason"]) for v in found] == [
        *((True, "valid"), (False, "unknown_key"), (False, "unsigned"))
    ]
    assert [(v["signature"] or "").strip() for v in found] == [SIGNATURE.strip(), SIGNATURE.strip(), ""]
    assert [v["verified_at"] is None for v in found] == [False, True, True]
    assert {v["payload"] for v in found} == {None}


def test_comparison(home: Home) -> None:
    """A comparison names both ends, and where it is shown, as a page and as a patch"""
    base, branch = home.head, home.branch()
    commits = [home.commit(branch) for _ in range(2)]
    shown = home.call("GET", f"compare/main...{branch}").json()
    page = f"{home.url}/{TOOL}/compare"
    assert [commit["sha"] for commit in shown["commits"]] == commits
    assert picked(shown, "html_url diff_url patch_url permalink_url") == (
        *(f"{page}/main...{branch}", f"{page}/main...{branch}.diff", f"{page}/main...{branch}.patch"),
        f"{page}/{base[:7]}...{commits[-1][:7]}",
    )
    assert shown["url"] == f"{home.url}/repos/{TOOL}/compare/main...{branch}"
    assert shown["base_commit"]["sha"] == shown["merge_base_commit"]["sha"] == base


def test_many_commits(home: Home, world: GitHub) -> None:
    """A comparison lists 250 commits at most, the oldest first, and counts them all"""
    head, branch = home.head, home.branch()
    who = "committer Ana <ana@example.invalid>"
    lines = [f"commit refs/heads/{branch}\n{who} {n} +0000\ndata 1\nx" for n in range(251)]
    lines[0] += f"\nfrom {head}"
    world.repository(TOOL).git.run("fast-import", "--quiet", "--force", stdin="\n".join([*lines, ""]).encode())
    shown = home.call("GET", f"compare/{head}...{branch}").json()
    assert picked(shown, "ahead_by total_commits") == (251, 251)
    assert len(shown["commits"]) == 250
    assert [parent["sha"] for parent in shown["commits"][0]["parents"]] == [head]


def test_tree(home: Home) -> None:
    """A tree says what it holds: files, programs, links and folders"""
    blob = home.call("POST", "git/blobs", json={"content": "dGFyZ2V0", "encoding": "base64"}).json()["sha"]
    plain = {"path": "a", "type": "blob", "content": "text"}
    program = {"path": "b", "mode": "100755", "type": "blob", "sha": blob}
    link = {"path": "c", "mode": "120000", "type": "blob", "sha": blob}
    made = home.call("POST", "git/trees", json={"base_tree": home.head, "tree": [plain, program, link]}).json()
    shown = {entry["path"]: f"{entry['mode']} {entry['type']}" for entry in made["tree"]}
    assert [shown[path] for path in ("a", "b", "c", "docs")] == [
        *("100644 blob", "100755 blob", "120000 blob", "040000 tree")
    ]
    urls = {entry["url"] for entry in made["tree"] if entry["path"] in ("b", "c")}
    assert (made["truncated"], urls) == (False, {f"{home.url}/repos/{TOOL}/git/blobs/{blob}"})


def test_protected(home: Home, world: GitHub) -> None:
    """A branch says whether it is protected"""
    branch = home.branch()
    world.repository(TOOL).protected.add(branch)
    shown = {b["name"]: b["protected"] for b in home.call("GET", "branches", params={"per_page": "100"}).json()}
    assert (shown[branch], shown["main"]) == (True, False)


# Files


def test_file(home: Home) -> None:
    """A file of the default branch is shown in Base64, with its size, its SHA and its addresses"""
    raw = home.call("GET", "contents/docs/guide.md", headers={"Accept": RAW})
    assert (raw.text, raw.headers["content-type"]) == ("hello\n", f"{RAW}; charset=utf-8")
    made = home.call("POST", "git/blobs", json={"content": "hello\n"}).json()["sha"]
    shown = home.call("GET", "contents/docs/guide.md").json()
    assert picked(shown, "type name path size sha") == ("file", "guide.md", "docs/guide.md", 6, made)
    assert picked(shown, "encoding content") == ("base64", "aGVsbG8K\n")
    address = f"{home.url}/repos/{TOOL}"
    assert picked(shown, "url git_url") == (
        f"{address}/contents/docs/guide.md?ref=main",
        f"{address}/git/blobs/{made}",
    )
    assert picked(shown, "html_url download_url") == (
        *(f"{home.url}/{TOOL}/blob/main/docs/guide.md", f"{home.url}/{TOOL}/raw/main/docs/guide.md"),
    )
    assert shown["_links"] == {"self": shown["url"], "git": shown["git_url"], "html": shown["html_url"]}


def test_folder(home: Home) -> None:
    """A folder is named with its size of nothing, and has no download"""
    (docs,) = (entry for entry in home.call("GET", "contents/").json() if entry["name"] == "docs")
    assert picked(docs, "type path size download_url") == ("dir", "docs", 0, None)
    assert docs["html_url"] == f"{home.url}/{TOOL}/tree/main/docs"
    assert docs["git_url"] == f"{home.url}/repos/{TOOL}/git/trees/{docs['sha']}"


def test_mode_kept(home: Home) -> None:
    """A program that is replaced stays one; what is new is a file"""
    branch, head = home.branch(), home.head
    entry = {"path": "run", "mode": "100755", "type": "blob", "content": "x"}
    tree = home.call("POST", "git/trees", json={"base_tree": head, "tree": [entry]}).json()["sha"]
    commit = {"message": "x", "tree": tree, "parents": [head]}
    sha = home.call("POST", "git/commits", json=commit).json()["sha"]
    home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": sha})
    old = home.call("GET", "contents/run", params={"ref": branch}).json()["sha"]
    for path, known in (("run", {"sha": old}), ("new", {})):
        sent = {"message": "y", "content": "eQ==", "branch": branch, **known}
        made = home.call("PUT", f"contents/{path}", json=sent).json()
        assert picked(made["content"], "path size") == (path, 1)
        assert picked(made["commit"]["author"], "name email") == (OWNER, f"{PEOPLE[OWNER]}+{OWNER}@{NOREPLY}")
    none = {"path": "none", "mode": "100644", "type": "blob", "content": ""}
    shown = home.call("POST", "git/trees", json={"base_tree": made["commit"]["sha"], "tree": [none]}).json()
    modes = {entry["path"]: entry["mode"] for entry in shown["tree"]}
    assert (modes["run"], modes["new"]) == ("100755", "100644")


# Pull requests


def test_pull(home: Home) -> None:
    """A pull request says whose it is, what it joins, and that it is neither merged nor locked"""
    branch = home.branch()
    commit = home.commit(branch)
    sent = {"title": "One", "head": f"{OWNER}:{branch}", "base": "main", "draft": True}
    made = home.call("POST", "pulls", "ana", json=sent).json()
    number = made["number"]
    assert picked(made, "title body draft state") == ("One", None, True, "open")
    assert (made["user"]["login"], made["author_association"]) == ("ana", "COLLABORATOR")
    assert picked(made["head"], "ref sha label") == (branch, commit, f"{OWNER}:{branch}")
    assert picked(made["base"], "ref sha label") == ("main", home.head, f"{OWNER}:main")
    assert picked(made, "locked merged maintainer_can_modify") == (False, False, False)
    unset = {f"{when}_at" for when in ("closed", "merged")} | {"milestone", "auto_merge", "active_lock_reason"}
    unset |= {"merge_commit_sha", "assignee", "body", "mergeable", "merged_by", "rebaseable"}
    assert fields(made, None) == unset
    assert made["mergeable_state"] == "unknown"
    assert picked(made, "comments review_comments commits") == (0, 0, 1)
    page = f"{home.url}/{TOOL}/pull/{number}"
    assert picked(made, "html_url diff_url patch_url") == (page, f"{page}.diff", f"{page}.patch")
    assert made["updated_at"] == made["created_at"]
    closed = home.call("PATCH", f"pulls/{number}", json={"state": "closed"}).json()
    assert closed["updated_at"] == closed["closed_at"]
    again = home.call("PATCH", f"pulls/{number}", json={"state": "open", "body": "Why"}).json()
    assert picked(again, "state closed_at body draft") == ("open", None, "Why", True)


def test_pull_follows(home: Home) -> None:
    """A pull request follows its branch while it is open, and one without `draft` is none"""
    branch, other = home.branch(), home.branch()
    home.commit(branch)
    made = home.call("POST", "pulls", json={"title": "x", "head": branch, "base": other}).json()
    number, commit = made["number"], home.commit(branch)
    assert (made["draft"], made["author_association"]) == (False, "OWNER")
    shown = home.call("GET", f"pulls/{number}").json()
    assert (shown["head"]["sha"], shown["commits"]) == (commit, 2)
    (listed,) = home.call("GET", "pulls", params={"base": other}).json()
    assert (listed["number"], listed["head"]["sha"]) == (number, commit)
    assert home.call("GET", "pulls", params={"base": branch}).json() == []
    home.call("PATCH", f"pulls/{number}", json={"state": "closed"})
    home.commit(branch)
    assert home.call("GET", f"pulls/{number}").json()["head"]["sha"] == commit


# Releases


def test_draft(home: Home) -> None:
    """A release without more than a tag is of the default branch; a draft has no archives and a secret page"""
    tag = home.fresh()
    made = home.call("POST", "releases", json={"tag_name": tag, "draft": True}).json()
    assert picked(made, "target_commitish name body prerelease immutable") == ("main", None, "", False, False)
    assert picked(made, "published_at tarball_url zipball_url") == (None, None, None)
    assert re.fullmatch(rf"{home.url}/{TOOL}/releases/tag/untagged-[0-9a-f]{{20}}", made["html_url"])
    assert made["updated_at"] == made["created_at"]
    asset = home.call("POST", made["upload_url"].partition("{")[0], params={"name": "x"}, content=b"x").json()
    assert re.search(r"/releases/download/untagged-[0-9a-f]{20}/x$", asset["browser_download_url"])


def test_release(home: Home) -> None:
    """A public release has its archives by its tag, and was published when it became so"""
    tag = home.fresh()
    made = home.call("POST", "releases", json={"tag_name": tag, "name": "One", "make_latest": "false"}).json()
    assert picked(made, "draft immutable name target_commitish") == (False, False, "One", "main")
    address = f"{home.url}/repos/{TOOL}"
    assert picked(made, "tarball_url zipball_url") == (f"{address}/tarball/{tag}", f"{address}/zipball/{tag}")
    assert made["updated_at"] == made["published_at"]
    edited = home.call("PATCH", f"releases/{made['id']}", json={"body": "more"}).json()
    assert edited == {**made, "body": "more"}


def test_file_of_a_release(home: Home) -> None:
    """A file is of the type that it was sent as, by default of bytes, and is stored under its name"""
    release = home.draft(home.fresh())
    url = release.upload_url.partition("{")[0]
    sent = {"Content-Type": "application/zip"}
    labelled = home.call("POST", url, params={"name": "a.zip", "label": "A"}, content=b"x", headers=sent).json()
    assert picked(labelled, "content_type label state size download_count") == (
        "application/zip",
        "A",
        "uploaded",
        1,
        0,
    )
    plain = home.call("POST", url, params={"name": "b"}, content=b"xy").json()
    assert picked(plain, "content_type label size uploader") == (BYTES, "", 2, labelled["uploader"])
    assert picked(plain["uploader"], "login id") == (OWNER, PEOPLE[OWNER])
    stored = home.call("GET", f"releases/assets/{plain['id']}", headers={"Accept": BYTES}).headers["location"]
    got = home.http.get(stored)
    assert (got.content, got.headers["content-disposition"]) == (b"xy", "attachment; filename=b")
    listed = home.call("GET", f"releases/{release.id}/assets").json()
    assert listed == [labelled, plain]


def test_starter(home: Home, world: GitHub) -> None:
    """An upload that failed at the gateway may leave an empty file, which cannot be downloaded"""
    release = home.draft(home.fresh())
    world.faults.add(Fault("github.upload-asset", "status", 502))
    assert home.upload(release, "tool", b"x").status_code == 502
    (left,) = home.call("GET", f"releases/{release.id}/assets").json()
    assert picked(left, "name state size digest") == ("tool", "starter", 0, None)
    assert said(home.call("GET", f"releases/assets/{left['id']}", headers={"Accept": BYTES})) == "404 Not Found"
    assert said(home.upload(release, "tool", b"x")) == "422 Validation Failed: ReleaseAsset name already_exists"


def test_latest(home: Home) -> None:
    """The latest release is the one that was made so, else the one of the newest commit"""

    def published(commit: str, latest: str) -> str:
        tag = home.fresh()
        sent = {"tag_name": tag, "target_commitish": commit, "make_latest": latest}
        assert home.call("POST", "releases", json=sent).status_code == 201
        return tag

    def dated(year: int) -> str:
        tree = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
        who = {"name": "Ana", "email": "ana@example.invalid", "date": f"{year}-01-01T00:00:00Z"}
        made = home.call("POST", "git/commits", json={"message": "x", "tree": tree, "author": who})
        sha: str = made.json()["sha"]
        return sha

    def latest() -> str:
        tag: str = home.call("GET", "releases/latest", "").json()["tag_name"]
        return tag

    chosen = published(dated(2050), "true")
    newer = published(dated(2060), "false")
    assert latest() == chosen
    older = published(dated(2040), "legacy")
    assert latest() == newer
    (found,) = (r for r in home.forge().releases(older))
    assert home.call("PATCH", f"releases/{found.id}", json={"make_latest": "true"}).status_code == 200
    assert latest() == older
    assert home.call("PATCH", f"releases/{found.id}", json={"body": "more"}).status_code == 200
    assert latest() == older


def test_notes(home: Home, world: GitHub) -> None:
    """A release may be made with generated notes, below its own text; without a release before they tell all"""
    name = "acme/notes"
    world.add_repository(name, 50, 70)
    world.grant(OWNER, name, "write")
    sent = {"message": "first\n\nmore", "content": "eA=="}
    assert home.call("PUT", f"/repos/{name}/contents/a", json=sent).status_code == 201
    body = {"tag_name": "v1", "body": "Ours.", "generate_release_notes": True}
    made = home.call("POST", f"/repos/{name}/releases", json=body).json()
    lines = [*("Ours.", "", "## What's Changed", f"* first by @{OWNER}", "", "")]
    full = "**Full Changelog**: "
    assert (made["name"], made["body"].splitlines()) == ("v1", [*lines, f"{full}{home.url}/{name}/commits/v1"])
    assert home.call("PUT", f"/repos/{name}/contents/b", json=sent).status_code == 201
    named = {"tag_name": "v2", "name": "Two", "generate_release_notes": True}
    again = home.call("POST", f"/repos/{name}/releases", json=named).json()
    compared = f"{full}{home.url}/{name}/compare/v1...v2"
    assert (again["name"], again["body"].splitlines()) == ("Two", [*lines[2:], compared])


def test_immutability(home: Home, world: GitHub) -> None:
    """Whoever administers a repository sees whether its releases are immutable"""
    world.add_repository("octo/frozen", 51, PEOPLE[OWNER], immutable=True)
    path = "/repos/octo/frozen/immutable-releases"
    assert home.call("GET", path).json() == {"enabled": True, "enforced_by_owner": False}
    assert said(home.call("GET", "immutable-releases")) == "404 Not Found"
    world.grant("ana", "octo/frozen", "maintain")
    assert said(home.call("GET", path, "ana")) == "404 Not Found"
