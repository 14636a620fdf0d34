"""The forge as a place to write to: what our adapter for taps may rely on of GitHub's REST API.

docs.github.com/rest (git database, repository contents, commits, branches, pulls, repository and workflow dispatches),
git-scm.com/docs/http-protocol.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contracts.forges import ABSENT, EMULATE, OWNER, TOOL, Home, fixtures, outcome, refused, said
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "GitHub: commits, pull requests, dispatches"
ZERO = "0" * 40

home = fixtures(REHEARSAL, EMULATE)


def test_unrelated(home: Home, documented: Documented) -> None:
    """Commits without a common ancestor are neither compared nor merged"""
    tree = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
    orphan = home.call("POST", "git/commits", json={"message": "alone", "tree": tree, "parents": []}).json()["sha"]
    branch = home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/heads/{branch}", "sha": orphan})
    compared = said(home.call("GET", f"compare/main...{branch}"), BRANCH=branch)
    assert compared == refused(documented, "404 No common ancestor between main and BRANCH.", "404 Not Found")
    answer = home.call("POST", "pulls", json={"title": "Alone", "head": branch, "base": "main"})
    words = "422 Validation Failed: PullRequest custom The BRANCH branch has no history in common with main"
    assert said(answer, BRANCH=branch) == refused(documented, words, "201")


def test_refs(home: Home, documented: Documented) -> None:
    """A ref is made once, moves forward only, and is not made by moving it"""
    branch, old = home.branch(), home.head
    new = home.commit(branch)
    again = home.call("POST", "git/refs", json={"ref": f"refs/heads/{branch}", "sha": new})
    assert said(again) == "422 Reference already exists"
    back = home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": old, "force": False})
    assert said(back) == refused(documented, "422 Update is not a fast forward", "422 Update is not a fast-forward")
    gone = home.call("PATCH", "git/refs/heads/gone", json={"sha": old})
    assert said(gone) == refused(documented, "422 Reference does not exist", "404 Not Found")
    assert home.forge().commit_of(branch) == new
    forced = home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": old, "force": True})
    assert (forced.status_code, forced.json()["object"]["sha"]) == (200, old)
    assert home.call("DELETE", f"git/refs/heads/{branch}").status_code == 204
    twice = said(home.call("DELETE", f"git/refs/heads/{branch}"))
    assert twice == refused(documented, "422 Reference does not exist", "404 Not Found")
    assert outcome(lambda: home.forge().commit_of(branch)) == "branch-missing"


def test_unknown_object(home: Home, documented: Documented) -> None:
    """A ref to an object that is missing is refused"""
    answer = home.call("POST", "git/refs", json={"ref": f"refs/tags/{home.fresh()}", "sha": ZERO})
    assert said(answer) == refused(documented, "422 Object does not exist", "422 Invalid sha")


def test_commit(home: Home) -> None:
    """One file is committed by blob, tree, commit and ref, and the others are kept"""
    branch, before = home.branch(), home.head
    commit = home.tap().commit(branch, "Formula/tool.rb", b"class Tool\n\xff", "tool 1.0")
    assert home.forge().commit_of(branch) == commit
    assert home.tap().file("Formula/tool.rb", branch) == b"class Tool\n\xff"
    assert home.tap().file("README.md", commit) == b"hello\n"
    shown = home.call("GET", f"git/commits/{commit}").json()
    assert (shown["message"], [parent["sha"] for parent in shown["parents"]]) == ("tool 1.0", [before])


def test_race(home: Home) -> None:
    """Who commits to a branch that moved meanwhile is told so, and nothing is overwritten"""
    branch = home.branch()

    class Meanwhile(httpx.BaseTransport):
        """The network, on which somebody else commits just before we move the branch."""

        def __init__(self) -> None:
            self._network = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PATCH":
                self.theirs = home.commit(branch)
            return self._network.handle_request(request)

        def close(self) -> None:
            self._network.close()

    network = Meanwhile()
    tap = home.tap(transport=network)
    assert outcome(lambda: tap.commit(branch, "ours.md", b"ours", "ours")) == "tap-raced"
    assert home.forge().commit_of(branch) == network.theirs


def test_pull_request(home: Home, documented: Documented) -> None:
    """A pull request is found by its branch; a branch has one at a time"""
    branch, tap = home.branch(), home.tap()
    tap.commit(branch, "more.md", b"more", "more")
    assert tap.open_pull_request(branch) is None
    url = tap.pull_request(branch, "A title", "A text")
    assert tap.pull_request(branch, "Again", "") == tap.open_pull_request(branch) == url
    (pull,) = home.call("GET", "pulls", params={"state": "open", "head": f"{OWNER}:{branch}"}).json()
    assert [pull[k] for k in ("html_url", "state", "title", "body")] == [url, "open", "A title", "A text"]
    assert (pull["head"]["ref"], pull["head"]["repo"]["full_name"], pull["base"]["ref"]) == (branch, TOOL, "main")
    again = home.call("POST", "pulls", json={"title": "Again", "head": f"{OWNER}:{branch}", "base": "main"})
    taken = f"422 Validation Failed: PullRequest custom A pull request already exists for {OWNER}:BRANCH."
    looks = Instead("201", "it does not check this; the adapter looks before it asks for one")
    assert said(again, BRANCH=branch) == documented(taken, emulate=looks)


def test_pull_request_for_nothing(home: Home, documented: Documented) -> None:
    """A pull request without a commit of its own is refused"""
    branch = home.branch()
    answer = home.call("POST", "pulls", json={"title": "None", "head": branch, "base": "main"})
    words = "422 Validation Failed: PullRequest custom No commits between main and BRANCH"
    assert said(answer, BRANCH=branch) == refused(documented, words, "201")


def test_compare(home: Home) -> None:
    """Two commits are compared: ahead, behind, identical, or diverged from a common one"""
    base, branch = home.head, home.branch()
    ours = home.commit(branch)
    theirs = home.commit()

    def compared(one: str, other: str) -> tuple[str, int, int]:
        shown = home.call("GET", f"compare/{one}...{other}").json()
        assert shown["merge_base_commit"]["sha"] == (one if shown["status"] in ("ahead", "identical") else base)
        assert shown["total_commits"] == len(shown["commits"]) == shown["ahead_by"]
        return shown["status"], shown["ahead_by"], shown["behind_by"]

    assert compared(base, ours) == ("ahead", 1, 0)
    assert compared(base, base) == ("identical", 0, 0)
    assert compared(theirs, base) == ("behind", 0, 1)
    assert compared(ours, theirs) == ("diverged", 1, 1)
    assert home.call("GET", f"compare/main...{ZERO}").status_code == 404


def test_show_commit(home: Home) -> None:
    """A commit is found by its SHA and by the name of a branch"""
    branch = home.branch()
    commit = home.commit(branch)
    for name in (commit, branch):
        shown = home.call("GET", f"commits/{name}").json()
        assert (shown["sha"], shown["commit"]["message"]) == (commit, "a change")
        assert shown["commit"]["comment_count"] == 0
        assert [parent["sha"] for parent in shown["parents"]] == [home.head]


def test_branches(home: Home) -> None:
    """Branches are listed with the commits at their tips"""
    branch = home.branch()
    shown = {b["name"]: b for b in home.call("GET", "branches", params={"per_page": "100"}).json()}
    assert shown[branch]["commit"]["sha"] == shown["main"]["commit"]["sha"] == home.head
    assert shown[branch]["protected"] is False


@pytest.mark.parametrize(
    ("path", "sha", "expected", "emulated"),
    [
        ("new.md", "", "201", "201"),
        ("README.md", "current", "200", "200"),
        (
            "docs/guide.md",
            "",
            '422 Invalid request. / "sha" wasn\'t supplied.',
            '422 "sha" wasn\'t supplied. docs/guide.md already exists.',
        ),
        ("docs/guide.md", ZERO, f"409 docs/guide.md does not match {ZERO}", f"409 docs/guide.md does not match {ZERO}"),
    ],
    ids=["new", "replaced", "without its sha", "with another's"],
)
def test_contents(home: Home, documented: Documented, path: str, sha: str, expected: str, emulated: str) -> None:
    """A file is written by one call, which replaces only what it names by SHA"""
    branch = home.branch()
    if sha == "current":
        sha = home.call("GET", f"contents/{path}", params={"ref": branch}).json()["sha"]
    sent = {"message": "put", "content": "bmV3Cg==", "branch": branch, **({"sha": sha} if sha else {})}
    answer = home.call("PUT", f"contents/{path}", json=sent)
    assert said(answer) == refused(documented, expected, emulated)
    written = answer.status_code < 300
    assert home.forge().file(path, branch) == (b"new\n" if written else b"hello\n")
    if written:
        assert answer.json()["commit"]["sha"] == home.forge().commit_of(branch)
        assert answer.json()["content"]["path"] == path


def test_tree(home: Home) -> None:
    """A tree is made of another one: files put in, replaced and taken out"""
    blob = home.call("POST", "git/blobs", json={"content": "text", "encoding": "utf-8"}).json()["sha"]
    entries = [
        {"path": "bin/run", "mode": "100755", "type": "blob", "sha": blob},
        {"path": "notes.md", "mode": "100644", "type": "blob", "content": "notes"},
        {"path": "README.md", "mode": "100644", "type": "blob", "sha": None},
    ]
    base = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
    made = home.call("POST", "git/trees", json={"base_tree": base, "tree": entries})
    assert made.status_code == 201, made.text
    commit = {"message": "all", "tree": made.json()["sha"], "parents": [home.head]}
    sha = home.call("POST", "git/commits", json=commit).json()["sha"]
    forge = home.forge()
    assert [forge.file(path, sha) for path in ("bin/run", "notes.md", "README.md")] == [b"text", b"notes", None]
    assert forge.file("docs/guide.md", sha) == b"hello\n"


def test_pull_request_closed(home: Home, documented: Documented) -> None:
    """A pull request that is closed is found no more, and its branch may have another"""
    branch, tap = home.branch(), home.tap()
    tap.commit(branch, "more.md", b"more", "more")
    url = tap.pull_request(branch, "A title", "A text")
    number = url.rpartition("/")[2]
    shown = home.call("GET", f"pulls/{number}").json()
    assert (shown["merged"], shown["head"]["sha"]) == (False, home.forge().commit_of(branch))
    assert shown["commits"] == documented(
        1, emulate=Instead(2, "it counts the commit that the branch began at; the adapter counts none")
    )
    closed = home.call("PATCH", f"pulls/{number}", json={"state": "closed", "title": "Closed"}).json()
    assert (closed["state"], closed["title"], closed["body"]) == ("closed", "Closed", "A text")
    assert closed["closed_at"] is not None
    assert tap.open_pull_request(branch) is None
    again = tap.pull_request(branch, "Again", "")
    assert int(again.rpartition("/")[2]) == int(number) + 1

    def listed(state: str) -> list[str]:
        asked = {"state": state, "head": f"{OWNER}:{branch}", "base": "main"}
        return sorted(pull["html_url"] for pull in home.call("GET", "pulls", params=asked).json())

    assert (listed("open"), listed("closed"), listed("all")) == ([again], [url], sorted([again, url]))
    assert said(home.call("GET", "pulls/99999")) == "404 Not Found"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"event_type": "update", "client_payload": {"version": "1.0.0"}}, "204"),
        ({"event_type": "x" * 101}, "422 Invalid request. / event_type must have 1 to 100 characters."),
        (
            {"event_type": "x", "client_payload": dict.fromkeys("abcdefghijk")},
            "422 Invalid request. / No more than 10 properties are allowed; 11 were supplied.",
        ),
    ],
    ids=["accepted", "a long name", "many keys"],
)
def test_dispatch(home: Home, documented: Documented, sent: dict[str, Any], expected: str) -> None:
    """A repository takes events with a name and a small payload"""
    before = len(home.world.dispatches) if home.world else 0
    answer = home.call("POST", "dispatches", json=sent)
    assert said(answer) == documented(expected, emulate=Instead("404 Not Found", ABSENT))
    if home.world:
        told = [(d.repository, d.event, d.ref, d.payload, d.sender) for d in home.world.dispatches[before:]]
        accepted = (TOOL, sent["event_type"], None, sent.get("client_payload"), OWNER)
        assert told == ([accepted] if expected == "204" else [])


@pytest.mark.parametrize(
    ("workflow", "sent", "version", "expected"),
    [
        ("publish.yml", {"ref": "main", "inputs": {"tag": "v1"}}, "", "204"),
        ("publish.yml", {"ref": "main", "return_run_details": True}, "", "200"),
        ("publish.yml", {"ref": "main"}, "2026-03-10", "200"),
        ("publish.yml", {"ref": "gone"}, "", "422 No ref found for: gone"),
        ("gone.yml", {"ref": "main"}, "", "404 Not Found"),
    ],
    ids=["accepted", "with its run", "a later version", "no such ref", "no such workflow"],
)
def test_workflow(
    home: Home, documented: Documented, workflow: str, sent: dict[str, Any], version: str, expected: str
) -> None:
    """A workflow of the default branch is started, and from a later API version on its run is named"""
    path = f"contents/.github/workflows/{workflow}"
    if workflow == "publish.yml" and home.call("GET", path).status_code == 404:
        home.call("PUT", path, json={"message": "ci", "content": "b246IHB1c2gK", "branch": "main"})
    headers = {"X-GitHub-Api-Version": version} if version else {}
    answer = home.call("POST", f"actions/workflows/{workflow}/dispatches", json=sent, headers=headers)
    unseen = Instead("404 Not Found", "it has no workflows but seeded ones")
    assert said(answer) == documented(expected, emulate=unseen)
    if answer.status_code == 200:
        run = answer.json()["workflow_run_id"]
        assert answer.json()["run_url"].endswith(f"/repos/{TOOL}/actions/runs/{run}")
        assert answer.json()["html_url"].endswith(f"/{TOOL}/actions/runs/{run}")


def test_approvals(home: Home, documented: Documented) -> None:
    """The reviews of a run's environments say who, what and why"""
    if home.world:
        home.world.set_approval(TOOL, 7, "ana", "pypi", comment="go")
    answer = home.call("GET", "actions/runs/7/approvals")
    assert said(answer) == documented("200", emulate=Instead("404 Not Found", ABSENT))
    if answer.status_code == 200:
        (approval,) = answer.json()
        assert (approval["user"]["login"], approval["state"], approval["comment"]) == ("ana", "approved", "go")
        assert [environment["name"] for environment in approval["environments"]] == ["pypi"]
        assert home.call("GET", "actions/runs/8/approvals").json() == []


@pytest.mark.parametrize(
    ("service", "by", "expected"),
    [
        ("git-upload-pack", "", "200 application/x-git-upload-pack-advertisement"),
        ("git-receive-pack", "octo", "200 application/x-git-receive-pack-advertisement"),
        ("git-receive-pack", "eve", "403 text/plain"),
        ("git-receive-pack", "", "401 text/plain"),
    ],
    ids=["fetch", "push", "push by a stranger", "push by nobody"],
)
def test_git(home: Home, documented: Documented, service: str, by: str, expected: str) -> None:
    """Git fetches from a public repository, and pushes with a token that may write"""
    auth = ("x-access-token", home.tokens[by]) if by else None
    url = f"{home.url}/{TOOL}.git/info/refs"
    answer = home.http.get(url, params={"service": service}, auth=auth)
    found = f"{answer.status_code} {answer.headers['content-type'].partition(';')[0]}"
    assert found == documented(expected, emulate=Instead("404 application/json", "it serves no git"))
    if answer.status_code == 200:
        assert home.head.encode() in answer.content
    words = {401: "Authentication required\n", 403: f"Permission to {TOOL}.git denied to {by}.\n"}
    assert answer.text == words.get(answer.status_code, answer.text)
    assert ("www-authenticate" in answer.headers) is (answer.status_code == 401)


@pytest.mark.parametrize(
    ("method", "path", "sent", "expected", "emulated"),
    [
        ("POST", "releases", b"{", "400 Problems parsing JSON", "400 Problems parsing JSON"),
        ("POST", "releases", b"[]", "400 Body should be a JSON object", "422 Validation failed"),
        (
            *("POST", "releases", {"tag_name": 5}),
            "422 Invalid request. / For 'properties/tag_name', 5 is not a string.",
            "422 Validation failed",
        ),
        (
            *("POST", "releases", {"tag_name": "v0", "draft": "yes"}),
            "422 Invalid request. / For 'properties/draft', \"yes\" is not a boolean.",
            "201",
        ),
        (
            *("POST", "git/commits", {"message": "x", "tree": ZERO, "parents": []}),
            "422 Tree SHA does not exist",
            "422 Invalid tree",
        ),
        (
            *("POST", "git/trees", {"tree": [{"path": "../x", "mode": "100644", "type": "blob", "content": "x"}]}),
            "422 tree.path contains a malformed path component",
            "422 Invalid tree path",
        ),
        ("POST", "git/trees", {"tree": []}, "422 Invalid tree info", "201"),
        ("POST", "git/blobs", {"content": "?", "encoding": "base64"}, "422 content is not valid Base64", "201"),
        ("POST", "git/refs", {"ref": "main", "sha": ZERO}, "422 Reference name is not valid", "422 Invalid ref"),
        (
            *("POST", "git/tags", {"tag": "v0", "message": "x", "object": ZERO, "type": "commit"}),
            "422 Object does not exist",
            "201",
        ),
        (
            *("POST", f"statuses/{ZERO}", {"state": "great"}),
            "422 Validation Failed: Status state custom state is not included in the list",
            "404 Not Found",
        ),
        ("POST", f"statuses/{ZERO}", {"state": "success"}, "422 No commit found for SHA: ZERO", "404 Not Found"),
        ("GET", f"commits/{ZERO}/check-runs", None, "422 No commit found for SHA: ZERO", "404 Not Found"),
        ("GET", "collaborators/nobody/permission", None, "404 Not Found", "404 Not Found"),
        (
            *("POST", "pulls", {"title": "x", "head": "nowhere", "base": "main"}),
            "422 Validation Failed: PullRequest head invalid",
            "201",
        ),
        ("GET", "releases/one", None, "404 Not Found", "404 Not Found"),
        ("GET", "nothing/here", None, "404 Not Found", "404 Not Found"),
    ],
    ids=lambda value: value if isinstance(value, str) and value[:1] in "GP" else "",
)
def test_refused(
    home: Home, documented: Documented, method: str, path: str, sent: Any, expected: str, emulated: str
) -> None:
    """What cannot be is refused, and the reason is named"""
    body = {"content": sent} if isinstance(sent, bytes) else {"json": sent}
    answer = home.call(method, path, **body)
    absent = path.startswith("statuses/")
    words = (
        documented(expected, emulate=Instead(emulated, ABSENT)) if absent else refused(documented, expected, emulated)
    )
    assert said(answer, ZERO=ZERO) == words
