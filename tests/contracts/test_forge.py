"""The forge as the home of a repository: what our adapter may rely on of GitHub's REST API.

docs.github.com/rest (repos, git refs and tags, repository contents, checks, commit statuses, users, collaborators,
teams), and its page on troubleshooting.
"""

from __future__ import annotations

import pytest

from releaser.adapters.github import ACTIONS
from releaser.model.facts import CheckState, Tag
from tests.contracts.forges import (
    ABSENT,
    BYTES,
    EMULATE,
    OWNER,
    PEOPLE,
    RAW,
    SECRET,
    TEAM,
    TOOL,
    Home,
    fixtures,
    outcome,
    refused,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "GitHub: repository, tags, checks, people"

home = fixtures(REHEARSAL, EMULATE)


def test_repository(home: Home) -> None:
    """A repository is known by its number, its name and its default branch"""
    shown = home.call("GET", f"/repos/{TOOL}")
    found = home.forge().repository()
    assert (shown.status_code, found.name, found.default_branch) == (200, TOOL, "main")
    value = shown.json()
    assert (value["id"], value["full_name"], value["default_branch"]) == (found.id, found.name, found.default_branch)
    assert (value["private"], value["owner"]["login"], value["owner"]["type"]) == (False, OWNER, "User")
    assert value["permissions"]["push"] is True


def test_missing_repository(home: Home) -> None:
    """A repository that is missing is 404, and is not taken for an empty one"""
    assert said(home.call("GET", "/repos/octo/none")) == "404 Not Found"
    assert outcome(lambda: home.forge(repository="octo/none").tag("v1")) == "forge-forbidden"


def test_private(home: Home, documented: Documented) -> None:
    """A private repository is 404 for strangers, with an account and without"""
    answers = {said(home.call("GET", f"/repos/{SECRET}", by)) for by in ("eve", "")}
    assert answers == documented(
        {"404 Not Found"},
        emulate=Instead(
            {"403 Forbidden", "401 Requires authentication"},
            "it tells that there is one; the adapter takes each for no access",
        ),
    )
    assert home.call("GET", f"/repos/{SECRET}").json()["private"] is True


def test_bad_credentials(home: Home, documented: Documented) -> None:
    """A token that nobody has is 401, with the adapter's own word for it"""
    anybody = "it takes any token for somebody's; GitHub's 401 is seen in the rehearsal"
    expected = documented("401 Bad credentials", emulate=Instead("200", anybody))
    assert said(home.call("GET", f"/repos/{TOOL}", "ghp_nobody")) == expected
    code = documented("forge-unauthorized", emulate=Instead("done", anybody))
    assert outcome(home.forge("ghp_nobody").repository) == code


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-GitHub-Api-Version": "2000-01-01"}, "400 2000-01-01 is not a supported version of the API"),
        ({"User-Agent": ""}, "403 Request forbidden by administrative rules. Please send a User-Agent header."),
    ],
    ids=["version", "agent"],
)
def test_headers(home: Home, documented: Documented, headers: dict[str, str], expected: str) -> None:
    """An unknown API version is 400, a request without User-Agent 403"""
    answer = home.call("GET", f"/repos/{TOOL}", headers=headers)
    assert said(answer) == refused(documented, expected, "200")


def test_light_tag(home: Home) -> None:
    """A lightweight tag is its commit"""
    tag, head = home.fresh(), home.head
    made = home.call("POST", "git/refs", json={"ref": f"refs/tags/{tag}", "sha": head})
    assert made.status_code == 201
    shown = home.call("GET", f"git/ref/tags/{tag}")
    assert (shown.status_code, shown.json()["ref"]) == (200, f"refs/tags/{tag}")
    assert (shown.json()["object"]["type"], shown.json()["object"]["sha"]) == ("commit", head)
    assert home.forge().tag(tag) == Tag(tag, head, head, annotated=False)


def test_annotated_tag(home: Home) -> None:
    """An annotated tag leads to its commit by way of the tag object, which names the tagger"""
    tag, head = home.fresh(), home.head
    tagger = {"name": "Ana", "email": "ana@example.invalid", "date": "2026-01-02T03:04:05Z"}
    sent = {"tag": tag, "message": "a release", "object": head, "type": "commit", "tagger": tagger}
    made = home.call("POST", "git/tags", json=sent)
    sha = made.json()["sha"]
    assert made.status_code == 201
    assert home.call("POST", "git/refs", json={"ref": f"refs/tags/{tag}", "sha": sha}).status_code == 201
    assert home.call("GET", f"git/ref/tags/{tag}").json()["object"]["type"] == "tag"
    shown = home.call("GET", f"git/tags/{sha}").json()
    assert (shown["tag"], shown["message"].rstrip(), shown["tagger"]["email"]) == (tag, "a release", tagger["email"])
    assert (shown["object"]["type"], shown["object"]["sha"]) == ("commit", head)
    assert shown["verification"]["verified"] is False
    assert home.forge().tag(tag) == Tag(tag, sha, head, annotated=True, tagger="ana@example.invalid")


def test_missing_tag(home: Home) -> None:
    """A tag that is missing is 404, whatever longer names there are"""
    tag = home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/tags/{tag}-rc.1", "sha": home.head})
    assert said(home.call("GET", f"git/ref/tags/{tag}")) == "404 Not Found"
    assert home.forge().tag(tag) is None
    found = home.call("GET", f"git/matching-refs/tags/{tag}").json()
    assert [ref["ref"] for ref in found] == [f"refs/tags/{tag}-rc.1"]


def test_tip(home: Home) -> None:
    """A branch shows the commit at its tip, and moves with it"""
    branch = home.branch()
    assert home.forge().commit_of(branch) == home.head
    commit = home.commit(branch)
    assert home.forge().commit_of(branch) == commit
    assert outcome(lambda: home.forge().commit_of("gone")) == "branch-missing"


def test_file(home: Home, documented: Documented) -> None:
    """A file is read as bytes at a branch or commit by the raw media type"""
    raw = home.call("GET", "contents/docs/guide.md", params={"ref": "main"}, headers={"Accept": RAW})
    media = raw.headers["content-type"].partition(";")[0]
    assert (raw.status_code, raw.content) == (200, b"hello\n")
    assert media == documented(RAW, emulate=Instead(BYTES, "the adapter takes for a folder only what says JSON"))
    before = home.head
    home.commit()
    assert home.forge().file("docs/guide.md", before) == home.forge().file("docs/guide.md", "main") == b"hello\n"


def test_folder(home: Home) -> None:
    """A folder is a JSON list of names"""
    shown = home.call("GET", "contents/docs", headers={"Accept": RAW})
    assert shown.headers["content-type"].startswith("application/json")
    assert [(entry["type"], entry["name"], entry["path"]) for entry in shown.json()] == [
        ("file", "guide.md", "docs/guide.md")
    ]
    assert home.forge().file("docs", "main") is None
    assert home.tap().file("docs", "main") == b"guide.md\n"
    root = {entry["name"]: entry["type"] for entry in home.call("GET", "contents/").json()}
    assert (root["README.md"], root["docs"]) == ("file", "dir")


@pytest.mark.parametrize(("path", "ref"), [("none.md", "main"), ("README.md", "nowhere")], ids=["path", "ref"])
def test_missing_file(home: Home, path: str, ref: str) -> None:
    """A file that is missing is 404, and so is a ref that is"""
    answer = home.call("GET", f"contents/{path}", params={"ref": ref})
    assert answer.status_code == 404
    assert home.forge().file(path, ref) is None


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [
        ("success", CheckState.SUCCESS),
        ("failure", CheckState.FAILURE),
        ("neutral", CheckState.SKIPPED),
        (None, CheckState.PENDING),
    ],
)
def test_check_run(home: Home, documented: Documented, conclusion: str | None, state: CheckState) -> None:
    """A check run has a status, and a conclusion once it is completed"""
    commit = home.commit()
    home.check(commit, "ci", conclusion)
    shown = home.call("GET", f"commits/{commit}/check-runs", params={"filter": "latest"}).json()
    (run,) = shown["check_runs"]
    assert (shown["total_count"], run["name"], run["head_sha"]) == (1, "ci", commit)
    assert (run["status"], run["conclusion"]) == ("completed" if conclusion else "in_progress", conclusion)
    wanted = documented(
        "done", emulate=Instead("forge-forbidden", "it has no commit statuses, which the adapter reads as well")
    )
    forge = home.forge()
    assert outcome(lambda: forge.checks(commit)) == wanted
    assert wanted != "done" or forge.checks(commit) == {"ci": state}


@pytest.mark.parametrize(
    ("states", "combined"),
    [([], "pending"), (["success"], "success"), (["success", "pending"], "pending"), (["success", "error"], "failure")],
    ids=["none", "success", "one waits", "one broke"],
)
def test_statuses(home: Home, documented: Documented, states: list[str], combined: str) -> None:
    """Commit statuses are combined: pending when there are none, failure when any broke"""
    commit = home.commit()
    made = {
        said(home.call("POST", f"statuses/{commit}", json={"state": state, "context": f"c{n}"}))
        for n, state in enumerate(states)
    }
    shown = home.call("GET", f"commits/{commit}/status")
    missing = Instead("404 Not Found", ABSENT)
    assert said(shown) == documented("200", emulate=missing)
    if shown.status_code == 200:
        assert made <= {"201"}
        assert (shown.json()["state"], shown.json()["sha"]) == (combined, commit)
        assert shown.json()["total_count"] == len(states)
        named = {"success": CheckState.SUCCESS, "pending": CheckState.PENDING, "error": CheckState.FAILURE}
        assert home.forge().checks(commit) == {f"c{n}": named[state] for n, state in enumerate(states)}


@pytest.mark.parametrize(("by", "status"), [("eve", "404 Not Found"), ("", "401 Requires authentication")])
def test_no_permission(home: Home, documented: Documented, by: str, status: str) -> None:
    """Without the right to write, a write is 404 for an account and 401 for nobody"""
    answer = home.call("POST", "releases", by, json={"tag_name": home.fresh(), "draft": True})
    everybody = "every account may write to its public repositories"
    assert said(answer) == (documented(status, emulate=Instead("201", everybody)) if by else status)
    code = outcome(lambda: home.forge(by).create_draft(home.fresh(), home.head, "", "", prerelease=False))
    if by:
        assert code == documented("forge-forbidden", emulate=Instead("done", everybody))
    else:
        assert code == "forge-unauthorized"


def test_whoami(home: Home) -> None:
    """A token says whose it is"""
    shown = home.call("GET", "/user").json()
    found = home.forge().whoami()
    assert (found.login, found.id) == (shown["login"], shown["id"])
    assert found.login == OWNER
    assert said(home.call("GET", "/user", "")) == "401 Requires authentication"


def test_job(home: Home, documented: Documented) -> None:
    """A job's own token may not ask for its name, and is taken for the Actions bot"""
    answer = home.call("GET", "/user", "job")
    anybody = Instead("200", "it has no tokens of jobs, and takes any token for somebody's")
    assert said(answer) == documented("403 Resource not accessible by integration", emulate=anybody)
    if home.world:
        assert home.forge("job").whoami() == ACTIONS


def test_profile(home: Home) -> None:
    """An account has a number, a login in its own spelling, and a type; an unknown one is 404"""
    shown = home.call("GET", "/users/ana").json()
    assert (shown["login"], shown["type"]) == ("ana", "User")
    assert shown["id"] == (PEOPLE["ana"] if home.world else shown["id"])
    assert said(home.call("GET", "/users/nobody")) == "404 Not Found"


def test_roles(home: Home, documented: Documented) -> None:
    """A permission says maintain in `role_name`, and folds it into write"""
    shown = home.call("GET", "collaborators/ana/permission").json()
    unfolded = Instead("maintain", "it has no old names; the adapter takes the higher of both")
    assert shown["permission"] == documented("write", emulate=unfolded)
    assert shown["role_name"] == "maintain"
    who = home.forge("ana").whoami()
    held = home.forge().voter(who, ["role:write", "role:maintain", "role:admin", f"user:{OWNER}", "user:ana"]).roles
    assert held == frozenset({"role:write", "role:maintain", "user:ana"})


def test_teams(home: Home) -> None:
    """A member of a team is active in it, everybody else 404"""
    org, team = TEAM.split("/")
    path = f"/orgs/{org}/teams/{team}/memberships"
    assert home.call("GET", f"{path}/ana").json()["state"] == "active"
    assert said(home.call("GET", f"{path}/eve")) == "404 Not Found"
    for login, held in (("ana", [f"team:{TEAM}"]), ("eve", [])):
        assert home.forge().voter(home.forge(login).whoami(), [f"team:{TEAM}"]).roles == frozenset(held)


@pytest.mark.parametrize(
    ("path", "by", "expected", "why"),
    [
        (
            *("collaborators/ana/permission", "eve", "403 Must have push access to view collaborator permission."),
            "it tells everybody who may do what",
        ),
        (
            "/orgs/acme/teams/crew/memberships/ana",
            "",
            "401 Requires authentication",
            "it tells everybody who is in a team",
        ),
    ],
    ids=["a permission", "a team"],
)
def test_secretive(home: Home, documented: Documented, path: str, by: str, expected: str, why: str) -> None:
    """Permissions and teams are told to those who may know"""
    assert said(home.call("GET", path, by)) == documented(expected, emulate=Instead("200", why))
