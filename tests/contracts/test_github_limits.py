"""Where GitHub says no: what it refuses, in which words, and how much is still allowed.

docs.github.com/rest (git database, contents, pulls, releases, release assets, repository and workflow dispatches) and
docs.github.com/code-security (immutable releases). Only the rehearsal can be held to it: the emulator checks little of
it, and GitHub itself is not here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from releaser.rehearsal.github import GitHub
from releaser.rehearsal.gitrepo import BareRepository, Person
from tests.contracts.forges import MANY, OWNER, PEOPLE, SECRET, TOOL, Home, fixtures, said
from tests.contracts.table import REHEARSAL

TITLE = "GitHub: what it refuses, and up to where it does not"
ZERO = "0" * 40
INVALID = "422 Validation Failed: Release"
RACED = "octo/raced"

home = fixtures(REHEARSAL)


@pytest.fixture
def world(home: Home) -> GitHub:
    assert home.world is not None
    return home.world


@pytest.fixture
def objects(home: Home) -> dict[str, str]:
    """The SHA of an object of each kind."""
    head = home.call("GET", f"git/commits/{home.head}").json()
    blob = home.call("POST", "git/blobs", json={"content": "x"}).json()["sha"]
    return {"COMMIT": head["sha"], "TREE": head["tree"]["sha"], "BLOB": blob, "ZERO": ZERO}


def filled(sent: dict[str, Any], names: dict[str, str]) -> bytes:
    """*sent* as JSON, with the SHA instead of the name of an object."""
    return re.sub(r"\b[A-Z]{3,}\b", lambda found: names.get(found[0], found[0]), json.dumps(sent)).encode()


# Objects of git


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        ("git/trees", {"base_tree": "BLOB", "tree": []}, "422 base_tree is not a valid tree oid"),
        ("git/trees", {"tree": [{"path": "a", "sha": "TREE"}]}, "422 tree.sha TREE is not a valid blob"),
        ("git/trees", {"tree": [{"path": "a"}]}, '422 Invalid request. / "sha" wasn\'t supplied.'),
        (
            "git/trees",
            {"tree": [{"path": "a", "mode": "100600", "content": "x"}]},
            "422 tree.mode 100600 is not one of 100644, 100755, 120000",
        ),
        *(
            (
                "git/trees",
                {"tree": [{"path": path, "content": "x"}]},
                "422 tree.path contains a malformed path component",
            )
            for path in ("./a", "a/../b", "a//b", ".Git/config")
        ),
        ("git/trees", {"tree": [{"path": "..a/.gitignore", "content": "x"}]}, "201"),
        ("git/blobs", {"content": "eA", "encoding": "base64"}, "422 content is not valid Base64"),
        ("git/blobs", {"content": "e\nA==", "encoding": "base64"}, "201"),
        ("git/blobs", {"content": "not base64"}, "201"),
        ("git/commits", {"message": "x", "tree": "COMMIT"}, "422 Tree SHA does not exist"),
        *(
            (
                "git/commits",
                {"message": "x", "tree": "TREE", "parents": ["COMMIT", parent]},
                "422 Parent SHA does not exist or is not a commit object",
            )
            for parent in ("ZERO", "TREE")
        ),
        ("git/tags", {"tag": "a", "message": "x", "object": "TREE", "type": "commit"}, "422 Object does not exist"),
        ("git/tags", {"tag": "a", "message": "x", "object": "TREE", "type": "tree"}, "201"),
        ("git/tags", {"tag": "a..b", "message": "x", "object": "TREE", "type": "tree"}, "422 Object does not exist"),
        ("git/refs", {"ref": "refs/heads/a..b", "sha": "COMMIT"}, "422 Reference name is not valid"),
        ("git/refs", {"ref": "heads/a", "sha": "COMMIT"}, "422 Reference name is not valid"),
        ("statuses/TREE", {"state": "success"}, "422 No commit found for SHA: TREE"),
    ],
)
def test_objects(home: Home, objects: dict[str, str], path: str, sent: dict[str, Any], expected: str) -> None:
    """An object is made of objects that are there, each of the kind that it must be"""
    folder, _, name = path.partition("/")
    answer = home.call("POST", f"{folder}/{objects.get(name, name)}", content=filled(sent, objects))
    assert said(answer, **objects) == expected


@pytest.mark.parametrize(
    ("to", "force", "expected"),
    [
        ("ZERO", True, "422 Object does not exist"),
        ("BLOB", False, "422 Update is not a fast forward"),
        ("OLD", False, "422 Update is not a fast forward"),
        ("OLD", True, "200"),
        ("COMMIT", False, "200"),
    ],
    ids=["nothing", "a blob", "back", "back by force", "nowhere"],
)
def test_moved(home: Home, objects: dict[str, str], to: str, force: bool, expected: str) -> None:
    """A branch moves forward, and elsewhere by force alone"""
    branch, old = home.branch(), home.head
    tip = home.commit(branch)
    target = {**objects, "OLD": old, "COMMIT": tip}[to]
    answer = home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": target, "force": force})
    assert said(answer) == expected
    assert home.forge().commit_of(branch) == (target if expected == "200" else tip)


@pytest.mark.parametrize(("kind", "named"), [("tags", "COMMIT"), ("commits", "TREE"), ("commits", "ZERO")])
def test_other_kind(home: Home, objects: dict[str, str], kind: str, named: str) -> None:
    """An object of another kind is not found"""
    assert said(home.call("GET", f"git/{kind}/{objects[named]}")) == "404 Not Found"


@pytest.mark.parametrize(
    ("method", "path", "sent", "expected"),
    [
        ("GET", "git/ref/heads/main", None, "409 Git Repository is empty."),
        ("POST", "git/blobs", {"content": "x"}, "409 Git Repository is empty."),
        ("GET", "contents/README.md", None, "404 No commit found for the ref main"),
        ("POST", "releases", {"tag_name": "v1"}, f"{INVALID} custom Repository is empty."),
        ("POST", "actions/workflows/x.yml/dispatches", {"ref": "main"}, "404 Not Found"),
    ],
    ids=["ref", "blob", "file", "release", "workflow"],
)
def test_empty(home: Home, world: GitHub, method: str, path: str, sent: Any, expected: str) -> None:
    """In an empty repository there is nothing to read, nor to write next to"""
    name = f"octo/empty-{home.fresh()}"
    world.add_repository(name, 60, PEOPLE[OWNER])
    assert said(home.call(method, f"/repos/{name}/{path}", json=sent)) == expected
    assert home.call("GET", f"/repos/{name}/branches").json() == []
    written = home.call("PUT", f"/repos/{name}/contents/a", json={"message": "x", "content": "eA=="})
    assert (said(written), written.json()["commit"]["parents"]) == ("201", [])


# Files


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        ("new", {"branch": "gone"}, "404 Branch gone not found"),
        ("new", {"branch": "refs/heads/main", "content": "e A==\n"}, "201"),
        ("new", {"content": "?"}, "422 content is not valid Base64"),
        ("none", {"sha": ZERO}, f"409 none does not match {ZERO}"),
        ("a/../b", {}, "422 tree.path contains a malformed path component"),
        ("more", {"message": None}, '422 Invalid request. / "message" wasn\'t supplied.'),
    ],
    ids=["no branch", "a full name", "no Base64", "nothing to replace", "malformed", "no message"],
)
def test_contents(home: Home, path: str, sent: dict[str, Any], expected: str) -> None:
    """A file is written on a branch that is there, to a path that git can check out"""
    url = f"{home.url}/repos/{TOOL}/contents/".encode() + path.replace("..", "%2e%2e").encode()
    body = {"message": "x", "content": "eA==", "branch": home.branch(), **sent}
    assert said(home.call("PUT", url.decode(), json=body)) == expected


def test_raced(home: Home, world: GitHub) -> None:
    """Of two who write a file at the same time, the later one is told where the branch is by then"""

    class Pushed(BareRepository):
        """A repository to which somebody pushes whenever a commit is made by the API."""

        def write_commit(self, tree: str, parents: Any, message: str, author: Person, committer: Person) -> str:
            theirs = super().write_commit(tree, parents, "theirs", author, committer)
            self.move("refs/heads/main", theirs, self.commit_of("main"))
            return super().write_commit(tree, parents, message, author, committer)

    world.add_repository(RACED, 61, PEOPLE[OWNER])
    sent = {"message": "x", "content": "eA=="}
    assert home.call("PUT", f"/repos/{RACED}/contents/a", json=sent).status_code == 201
    repository = world.repository(RACED)
    before = repository.git.commit_of("main")
    repository.git = Pushed(repository.git.path)
    answer = home.call("PUT", f"/repos/{RACED}/contents/b", json=sent)
    now = repository.git.commit_of("main")
    assert (said(answer), now != before) == (f"409 is at {now} but expected {before}", True)


@pytest.mark.parametrize(
    ("size", "inline"), [(1_000_000, True), ((1 << 20) + 1, False)], ids=["a megabyte", "a mebibyte and more"]
)
def test_inline(home: Home, world: GitHub, size: int, inline: bool) -> None:
    """A file of more than a megabyte is not shown inline, and is given raw all the same"""
    git = world.repository(TOOL).git
    who = git.commit(home.head).author
    tree = git.write_tree(None, [("large", "100644", git.write_blob(b"x" * size))])
    commit = git.write_commit(tree, [], "large", who, who)
    shown = home.call("GET", "contents/large", params={"ref": commit}).json()
    assert (shown["size"], shown["encoding"], bool(shown["content"])) == (size, "base64" if inline else "none", inline)
    assert len(home.forge().file("large", commit) or b"") == size


@pytest.mark.parametrize(
    ("path", "ref", "expected"),
    [("none", "main", "404 Not Found"), ("README.md", "gone", "404 No commit found for the ref gone")],
)
def test_no_file(home: Home, path: str, ref: str, expected: str) -> None:
    """It is told whether the file or the ref is missing"""
    assert said(home.call("GET", f"contents/{path}", params={"ref": ref})) == expected


# Pull requests and events


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"base": "gone"}, "422 Validation Failed: PullRequest base invalid"),
        ({"head": "gone", "base": "gone"}, "422 Validation Failed: PullRequest head invalid"),
        ({"title": None}, '422 Invalid request. / "title" wasn\'t supplied.'),
        ({"draft": 1}, "422 Invalid request. / For 'properties/draft', 1 is not a boolean."),
    ],
    ids=["base", "both", "title", "draft"],
)
def test_pull(home: Home, sent: dict[str, Any], expected: str) -> None:
    """A pull request joins two branches that are there"""
    branch = home.branch()
    home.commit(branch)
    body = {"title": "x", "head": branch, "base": "main", **sent}
    assert said(home.call("POST", "pulls", json=body)) == expected
    assert home.call("GET", "pulls", params={"head": f"{OWNER}:{branch}", "state": "all"}).json() == []


def test_pull_edited(home: Home) -> None:
    """A pull request is open or closed, and nothing else"""
    branch = home.branch()
    home.commit(branch)
    number = home.call("POST", "pulls", json={"title": "x", "head": branch, "base": "main"}).json()["number"]
    answer = home.call("PATCH", f"pulls/{number}", json={"state": "merged"})
    assert said(answer) == "422 Invalid request. / merged is not a possible value of state."
    assert home.call("GET", f"pulls/{number}").json()["state"] == "open"
    assert said(home.call("GET", f"/repos/{MANY}/pulls/{number}")) == "404 Not Found"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"event_type": "x" * 100, "client_payload": dict.fromkeys("abcdefghij")}, "204"),
        ({"event_type": ""}, "422 Invalid request. / event_type must have 1 to 100 characters."),
        ({"event_type": "x", "client_payload": {"a": "x" * (65_535 - 8)}}, "204"),
        ({"event_type": "x", "client_payload": {"a": "x" * (65_536 - 8)}}, "422 client_payload is too large."),
        (
            {"event_type": "x", "client_payload": ["a"]},
            "422 Invalid request. / For 'properties/client_payload', [\"a\"] is not an object.",
        ),
    ],
    ids=["long", "nameless", "large", "too large", "a list"],
)
def test_dispatch(home: Home, world: GitHub, sent: dict[str, Any], expected: str) -> None:
    """An event has a name of 100 characters, 10 properties and less than 64 KiB at most"""
    before = len(world.dispatches)
    assert said(home.call("POST", "dispatches", json=sent)) == expected
    assert len(world.dispatches) - before == (expected == "204")


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (25, "204"),
        (26, "422 you may only define up to 25 `inputs` for a `workflow_dispatch` event"),
    ],
)
def test_inputs(home: Home, world: GitHub, inputs: int, expected: str) -> None:
    """A workflow takes 25 inputs at most"""
    home.call("PUT", "contents/.github/workflows/x.yml", json={"message": "ci", "content": "eA=="})
    sent = {"ref": "main", "inputs": {f"i{number}": "x" for number in range(inputs)}}
    assert said(home.call("POST", "actions/workflows/x.yml/dispatches", json=sent)) == expected
    if expected == "204":
        assert asdict(world.dispatches[-1]) == {
            "repository": TOOL, "event": "x.yml", "ref": "main", "payload": sent["inputs"], "sender": OWNER
        }  # fmt: skip


# Releases


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"body": "x" * 125_000}, "201"),
        ({"target_commitish": "COMMIT"}, "201"),
        ({"target_commitish": "TREE"}, f"{INVALID} target_commitish invalid"),
        ({"target_commitish": "ZERO"}, f"{INVALID} target_commitish invalid"),
        ({"target_commitish": "gone", "tag_name": "TAG"}, "201"),
        ({"tag_name": "TAG", "draft": False, "make_latest": "legacy"}, "201"),
    ],
    ids=["a long text", "a commit", "a tree", "nothing", "a tag that is there", "public"],
)
def test_release(home: Home, objects: dict[str, str], sent: dict[str, Any], expected: str) -> None:
    """A release is of a branch, a commit, or a tag that is there"""
    tag = home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/tags/{tag}", "sha": home.head})
    body = {"tag_name": home.fresh(), "draft": True, **sent}
    answer = home.call("POST", "releases", content=filled(body, {**objects, "TAG": tag}))
    assert said(answer) == expected


@pytest.fixture
def frozen(home: Home, world: GitHub) -> Iterator[dict[str, Any]]:
    """A release that was published with a file while releases were immutable."""
    release = home.draft(home.fresh())
    home.upload(release, "tool", b"x")
    world.repository(TOOL).immutable = True
    home.forge().publish(release, latest=False)
    world.repository(TOOL).immutable = False
    shown = home.call("GET", f"releases/{release.id}").json()
    assert shown["immutable"] is True
    yield shown
    assert home.call("GET", f"releases/{release.id}").json()["assets"] == shown["assets"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"tag_name": "other"}, "422 Cannot change the tag of an immutable release"),
        ({"target_commitish": "other"}, "422 Cannot change the tag of an immutable release"),
        ({"draft": True}, "422 Cannot change the tag of an immutable release"),
        ({"name": "Other", "body": "other", "prerelease": True, "make_latest": "true"}, "200"),
    ],
    ids=["tag", "target", "draft", "words"],
)
def test_immutable(home: Home, frozen: dict[str, Any], sent: dict[str, Any], expected: str) -> None:
    """The tag of an immutable release stays; its title, its notes and what it counts as may be edited"""
    assert said(home.call("PATCH", f"releases/{frozen['id']}", json=sent)) == expected
    shown = home.call("GET", f"releases/{frozen['id']}").json()
    changed = {k: v for k, v in sent.items() if k in shown} if expected == "200" else {}
    assert shown == {**frozen, **changed}


def test_immutable_file(home: Home, frozen: dict[str, Any]) -> None:
    """The files of an immutable release keep their names too"""
    path = f"releases/assets/{frozen['assets'][0]['id']}"
    answer = home.call("PATCH", path, json={"name": "other"})
    assert said(answer) == "422 Cannot update asset from an immutable release"


def test_chunked(home: Home) -> None:
    """An upload tells its size first"""
    url = home.draft(home.fresh()).upload_url.partition("{")[0]
    answer = home.call("POST", url, params={"name": "tool"}, content=iter([b"x"]))
    assert said(answer) == "400 Bad Content-Length: "


def test_elsewhere(home: Home) -> None:
    """Releases and files are found in their own repository, and nowhere else"""
    release = home.draft(home.fresh())
    asset = home.upload(release, "tool", b"x").json()["id"]
    for path in (f"releases/{release.id}", f"releases/assets/{asset}", f"releases/{release.id}/assets"):
        assert said(home.call("GET", path)) == "200"
        assert said(home.call("GET", f"/repos/{MANY}/{path}")) == "404 Not Found"
        assert said(home.call("GET", path, "eve")) == "404 Not Found"
    assert said(home.call("GET", "releases/assets/999999")) == said(home.call("GET", "releases/assets/x"))
    assert said(home.call("GET", "releases/assets/x")) == "404 Not Found"


def test_download(home: Home) -> None:
    """What is downloaded by name is a file of a public release, in a repository that one may see"""
    tag = home.fresh()
    path = f"/repos/{SECRET}/releases"
    made = home.call("POST", path, json={"tag_name": tag, "draft": True}).json()
    url = f"{home.url}/{SECRET}/releases/download/{tag}/tool"
    home.call("POST", made["upload_url"].partition("{")[0], params={"name": "tool"}, content=b"x")
    assert said(home.call("GET", url)) == "404 Not Found"
    assert home.call("PATCH", f"{path}/{made['id']}", json={"draft": False}).status_code == 200
    answers = [home.call(method, url, by).status_code for method in ("GET", "HEAD") for by in (OWNER, "eve", "")]
    assert answers == [302, 404, 404] * 2
    assert [home.call("GET", url.replace("/tool", other)).status_code for other in ("/other", "x/tool")] == [404, 404]
    stored = home.call("GET", url).headers["location"]
    assert [home.http.request(method, stored).status_code for method in ("GET", "HEAD")] == [200, 200]
    assert said(home.call("GET", f"{home.url}/objects/{'0' * 32}/tool", "")) == "404 Not Found"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"previous_tag_name": "gone"}, "400 Invalid previous_tag parameter"),
        ({"target_commitish": "gone"}, "400 Invalid target_commitish parameter"),
        ({}, "200"),
    ],
    ids=["previous", "target", "neither"],
)
def test_notes(home: Home, sent: dict[str, Any], expected: str) -> None:
    """Notes are generated from a tag or commit that is there"""
    answer = home.call("POST", "releases/generate-notes", json={"tag_name": home.fresh(), **sent})
    assert said(answer) == expected
