"""The forge: what our adapter may rely on of GitHub's REST API.

docs.github.com/rest (releases, release assets, git database, repository contents, checks, commit statuses, pulls,
collaborators, teams), and its pages on troubleshooting and pagination.
"""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from typing import Any

import httpx
import pytest

from releaser.adapters.github import ACTIONS
from releaser.model.facts import CheckState, Tag
from tests.contracts.forges import (
    BYTES,
    EMULATE,
    MANY,
    OWNER,
    PEOPLE,
    RAW,
    SECRET,
    TEAM,
    TOOL,
    Home,
    fixtures,
    ignore,
    outcome,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "GitHub: tags, checks, releases, people"

home = fixtures(REHEARSAL, EMULATE)

ABSENT = "it has no such operation; only the rehearsal can be held to it"
INVALID = "422 Validation Failed: Release"
WORDED = "in other words, which the adapter only shows"
ZERO = "0" * 40
LOOSE = "it takes what GitHub refuses; the adapter's own checks come first"


# The repository


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
        emulate=Instead({"403 Forbidden", "401 Requires authentication"}, "the adapter takes all three for no access"),
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
    assert said(answer) == documented(expected, emulate=Instead("200", LOOSE))


# Tags, branches, files


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


# Checks


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
    wanted = documented("done", emulate=Instead("forge-forbidden", "it has no commit statuses, which are checks too"))
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


# Drafts


def test_draft(home: Home, documented: Documented) -> None:
    """A draft is made at a commit, with an address that nobody can guess, and makes no tag"""
    tag, commit = home.fresh(), home.head
    sent = {"tag_name": tag, "target_commitish": commit, "name": "One", "body": "notes", "draft": True}
    made = home.call("POST", "releases", json=sent)
    value = made.json()
    assert (made.status_code, value["draft"], value["published_at"]) == (201, True, None)
    assert [value[k] for k in ("tag_name", "target_commitish", "name", "body", "prerelease")] == [
        *(tag, commit, "One", "notes", False)
    ]
    assert (value["author"]["login"], value["assets"]) == (OWNER, [])
    page = "untagged-" in value["html_url"]
    assert page is documented(True, emulate=Instead(False, "its drafts have the address of the tag; we use the number"))
    assert value["upload_url"].endswith(f"/repos/{TOOL}/releases/{value['id']}/assets{{?name,label}}")
    (seen,) = home.forge().releases(tag)
    assert (seen.id, seen.tag, seen.name, seen.body, seen.draft) == (value["id"], tag, "One", "notes", True)
    assert home.forge().tag(tag) is None


def test_draft_by_tag(home: Home, documented: Documented) -> None:
    """A draft is not found by its tag"""
    release = home.draft(home.fresh())
    answer = home.call("GET", f"releases/tags/{release.tag}")
    found = "it finds drafts by tag; the adapter lists instead"
    assert said(answer) == documented("404 Not Found", emulate=Instead("200", found))


def test_draft_unseen(home: Home, documented: Documented) -> None:
    """A draft is seen by those who may push, and by nobody else"""
    release = home.draft(home.fresh())
    assert home.call("GET", f"releases/{release.id}").status_code == 200
    assert home.call("GET", f"releases/{release.id}", "").status_code == 404
    stranger = documented("404 Not Found", emulate=Instead("200", "it shows drafts to every account"))
    assert said(home.call("GET", f"releases/{release.id}", "eve")) == stranger
    listed = [r["id"] for r in home.call("GET", "releases", "", params={"per_page": "100"}).json()]
    assert release.id not in listed


def test_drafts_of_one_tag(home: Home, documented: Documented) -> None:
    """Two drafts may have one tag, and are found oldest first"""
    tag = home.fresh()
    first = home.draft(tag)
    expected = documented("done", emulate=Instead("forge-refused", "it has one release a tag; GitHub has many drafts"))
    assert outcome(lambda: home.draft(tag)) == expected
    found = home.forge().releases(tag)
    assert found[0] == first
    assert len(found) == (2 if expected == "done" else 1)
    assert [r.id for r in found] == sorted(r.id for r in found)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, '422 Invalid request.\n\n"tag_name" wasn\'t supplied.'),
        (
            {"tag_name": "a..b"},
            f"{INVALID} tag_name custom tag_name is not a valid tag",
        ),
        ({"target_commitish": "gone"}, f"{INVALID} target_commitish invalid"),
        (
            {"body": "x" * 125_001},
            f"{INVALID} body custom body is too long (maximum is 125000 characters)",
        ),
        ({"make_latest": "yes"}, "422 Invalid request.\n\nmake_latest is none of true, false, legacy."),
    ],
    ids=["no tag", "a tag that is none", "no such branch", "a long text", "a word"],
)
def test_refused_release(home: Home, documented: Documented, sent: dict[str, Any], expected: str) -> None:
    """A release that cannot be is refused with 422, and the field is named"""
    given = {"tag_name": home.fresh(), "draft": True, **sent} if sent else {"draft": True}
    answer = home.call("POST", "releases", json=given)
    loose = Instead("201" if sent else "422 Validation failed", LOOSE)
    assert said(answer) == documented(expected, emulate=loose)


# Files of a release


def test_asset(home: Home, documented: Documented) -> None:
    """An uploaded file is digested by the server"""
    content = os.urandom(1 << 16)
    release = home.draft(home.fresh())
    asset = home.forge().upload(release, "tool.tar.gz", home.file(content), ignore)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    none = Instead("", "it has no digests; where there is none, the adapter downloads and compares")
    assert asset.digest == documented(digest, emulate=none)
    shown = home.call("GET", f"releases/assets/{asset.id}").json()
    assert (asset.name, asset.size, asset.complete) == ("tool.tar.gz", len(content), True)
    assert [shown[k] for k in ("name", "size", "state", "content_type")] == [
        *("tool.tar.gz", len(content), "uploaded", BYTES)
    ]
    assert (shown.get("digest") or "") == asset.digest
    who = documented(OWNER, emulate=Instead("ghost", "it does not say who uploaded; nobody is a person to no rule"))
    assert (asset.by.login, asset.human) == (who, who == OWNER)
    assert [a.id for a in home.forge().releases(release.tag)[0].assets] == [asset.id]


def test_asset_again(home: Home, documented: Documented) -> None:
    """A name is taken once: the same name again is 422, and the first file stays"""
    release = home.draft(home.fresh())
    forge, first = home.forge(), home.file(b"ours")
    kept = forge.upload(release, "tool", first, ignore)
    expected = documented("asset-exists", emulate=Instead("done", LOOSE))
    assert outcome(lambda: forge.upload(release, "tool", home.file(b"theirs"), ignore)) == expected
    taken = "422 Validation Failed: ReleaseAsset name already_exists"
    assert said(home.upload(release, "tool", b"more")) == documented(taken, emulate=Instead("201", LOOSE))
    assets = home.forge().releases(release.tag)[0].assets
    assert kept in assets
    assert (len(assets) == 1) is (expected == "asset-exists")


def test_asset_renamed(home: Home, documented: Documented) -> None:
    """Unusual characters of a name are replaced, which the adapter does not let pass"""
    release = home.draft(home.fresh())
    answer = home.upload(release, "a+b c.whl", b"x")
    kept = Instead("a+b c.whl", "it keeps every name; what we publish has no such names")
    assert answer.json()["name"] == documented("a.b.c.whl", emulate=kept)
    code = outcome(lambda: home.forge().upload(release, "x+y", home.file(b"x"), ignore))
    assert code == documented("asset-renamed", emulate=Instead("done", "as above"))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty", b"", "422 Validation Failed: ReleaseAsset size custom size must be greater than or equal to 1"),
        ("", b"x", "422 Validation Failed: ReleaseAsset name missing_field"),
    ],
    ids=["empty", "nameless"],
)
def test_refused_asset(home: Home, documented: Documented, name: str, content: bytes, expected: str) -> None:
    """An empty file and one without a name are refused"""
    other = "201" if name else "422 Validation failed"
    answer = home.upload(home.draft(home.fresh()), name, content)
    assert said(answer) == documented(expected, emulate=Instead(other, LOOSE))


def test_download(home: Home, documented: Documented) -> None:
    """A file's bytes come by a redirect to the storage, for which no token is needed"""
    content, target = os.urandom(1 << 16), home.folder / home.fresh()
    forge = home.forge()
    asset = forge.upload(home.draft(home.fresh()), "tool", home.file(content), ignore)
    answer = home.call("GET", f"releases/assets/{asset.id}", headers={"Accept": BYTES})
    description = Instead(200, "it answers with the description of the file; the adapter sees that the size differs")
    assert answer.status_code == documented(302, emulate=description)
    expected = documented("done", emulate=Instead("asset-size", "as above"))
    assert outcome(lambda: forge.download(asset, target, ignore)) == expected
    if expected == "done":
        stored = home.http.get(answer.headers["location"])
        assert target.read_bytes() == stored.content == content
        assert stored.headers["content-type"] == BYTES
    else:
        assert not target.exists()


def test_asset_removed(home: Home) -> None:
    """A file that is deleted is gone: 204, then 404"""
    release = home.draft(home.fresh())
    asset = home.forge().upload(release, "tool", home.file(b"x"), ignore)
    assert home.call("DELETE", f"releases/assets/{asset.id}").status_code == 204
    assert said(home.call("DELETE", f"releases/assets/{asset.id}")) == "404 Not Found"
    home.forge().remove(asset)
    assert home.forge().releases(release.tag)[0].assets == ()


# Publication


def test_published(home: Home, documented: Documented) -> None:
    """A draft becomes public in place, keeps its text, and makes its tag at its commit"""
    tag, commit = home.fresh(), home.commit()
    home.commit()
    release = home.draft(tag, commit)
    published = home.forge().publish(release, latest=False)
    assert (published.id, published.draft, published.name, published.body) == (release.id, False, release.name, "notes")
    shown = home.call("GET", f"releases/tags/{tag}", "").json()
    assert (shown["id"], shown["draft"], shown["author"]["login"]) == (release.id, False, OWNER)
    assert datetime.fromisoformat(shown["published_at"]).tzinfo is not None
    assert shown["html_url"].endswith(f"/{TOOL}/releases/tag/{tag}")
    made = home.forge().tag(tag)
    none = Instead("", "it makes no tag; releaser wants the tag before the draft anyway")
    assert (made.commit if made else "") == documented(commit, emulate=none)


def test_public_files(home: Home, documented: Documented) -> None:
    """Files can be downloaded by anybody once the release is public, and not before"""
    release = home.draft(home.fresh())
    drafted = home.forge().upload(release, "tool", home.file(b"ours"), ignore)
    assert home.forge().is_public(drafted) is False
    asset = home.forge().publish(release, latest=False).assets[0]
    public = documented(True, emulate=Instead(False, "it serves no downloads; delivery would wait, not go wrong"))
    assert home.forge().is_public(asset) is public
    if public:
        assert asset.url.endswith(f"/{TOOL}/releases/download/{release.tag}/tool")
        assert httpx.get(asset.url, follow_redirects=True).content == b"ours"
        assert httpx.head(asset.url, follow_redirects=True).headers["content-length"] == "4"


def test_published_twice(home: Home, documented: Documented) -> None:
    """A tag has one public release: a second is refused"""
    tag = home.fresh()
    home.forge().publish(home.draft(tag), latest=False)
    answer = home.call("POST", "releases", json={"tag_name": tag})
    taken = f"{INVALID} tag_name already_exists"
    vague = Instead("422 Validation failed", "it names no field; the adapter shows what is said")
    assert said(answer) == documented(taken, emulate=vague)


def test_latest(home: Home, documented: Documented) -> None:
    """What counts as latest moves only where that is asked for, and is never a prerelease"""

    def latest() -> str:
        tag: str = home.call("GET", "releases/latest", "").json()["tag_name"]
        return tag

    first, second, third = (home.fresh() for _ in range(3))
    home.forge().publish(home.draft(first), latest=True)
    assert latest() == first
    home.forge().publish(home.draft(second), latest=False)
    newest = Instead(second, "it takes the newest one; GitHub is told by `make_latest`")
    assert latest() == documented(first, emulate=newest)
    before = latest()
    made = home.forge().create_draft(third, home.head, third, "", prerelease=True)
    assert home.forge().publish(made, latest=False).prerelease is True
    assert latest() == before


def test_unrelated(home: Home, documented: Documented) -> None:
    """Commits without a common ancestor are neither compared nor merged"""
    tree = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
    orphan = home.call("POST", "git/commits", json={"message": "alone", "tree": tree, "parents": []}).json()["sha"]
    branch = home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/heads/{branch}", "sha": orphan})
    compared = said(home.call("GET", f"compare/main...{branch}"))
    refused = f"404 No common ancestor between main and {branch}."
    assert compared == documented(refused, emulate=Instead("404 Not Found", WORDED))
    answer = home.call("POST", "pulls", json={"title": "Alone", "head": branch, "base": "main"})
    refused = f"422 Validation Failed: PullRequest custom The {branch} branch has no history in common with main"
    assert said(answer) == documented(refused, emulate=Instead("201", LOOSE))


def test_pages(home: Home) -> None:
    """Releases are listed newest first, in pages that the Link header names"""
    for number in range(101):
        made = home.call("POST", f"/repos/{MANY}/releases", json={"tag_name": f"v0.{number}"})
        assert made.status_code == 201, made.text
    first = home.call("GET", f"/repos/{MANY}/releases", params={"per_page": "200"})
    assert len(first.json()) == 100
    assert set(first.links) == {"next", "last"}
    second = home.call("GET", first.links["next"]["url"])
    assert len(second.json()) == 1
    assert set(second.links) == {"prev", "first"}
    assert first.json()[0]["id"] > first.json()[-1]["id"] > second.json()[0]["id"]
    assert home.forge(repository=MANY).released() == tuple(f"v0.{number}" for number in range(101))


def test_release_removed(home: Home) -> None:
    """A release that is deleted is gone: 204, then 404"""
    release = home.draft(home.fresh())
    assert home.call("DELETE", f"releases/{release.id}").status_code == 204
    assert said(home.call("GET", f"releases/{release.id}")) == "404 Not Found"
    assert home.forge().releases(release.tag) == ()


def test_immutable(home: Home, documented: Documented) -> None:
    """Once published, an immutable release takes no file and loses none"""
    release = home.draft(home.fresh())
    asset = home.forge().upload(release, "tool", home.file(b"ours"), ignore)
    if home.world:
        home.world.repository(TOOL).immutable = True
    published = home.forge().publish(release, latest=False)
    if home.world:
        home.world.repository(TOOL).immutable = False
    shown = home.call("GET", f"releases/{published.id}").json()
    assert shown.get("immutable", False) is documented(True, emulate=Instead(False, ABSENT))
    upload = said(home.upload(published, "more", b"x"))
    wanted = "422 Cannot upload assets to an immutable release"
    assert upload == documented(wanted, emulate=Instead("201", ABSENT))
    deleted = said(home.call("DELETE", f"releases/assets/{asset.id}"))
    wanted = "422 Cannot delete asset from an immutable release"
    assert deleted == documented(wanted, emulate=Instead("204", ABSENT))
    assert home.call("DELETE", f"releases/{release.id}").status_code == 204
    again = home.call("POST", "releases", json={"tag_name": release.tag})
    wanted = f"{INVALID} tag_name custom tag_name was used by an immutable release"
    assert said(again) == documented(wanted, emulate=Instead("201", ABSENT))


# Writing


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


def test_refs(home: Home, documented: Documented) -> None:
    """A ref is made once, moves forward only, and is not made by moving it"""
    branch, old = home.branch(), home.head
    new = home.commit(branch)
    again = home.call("POST", "git/refs", json={"ref": f"refs/heads/{branch}", "sha": new})
    assert said(again) == "422 Reference already exists"
    back = home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": old, "force": False})
    worded = Instead("422 Update is not a fast-forward", "a hyphen; the adapter decides by where the branch is")
    assert said(back) == documented("422 Update is not a fast forward", emulate=worded)
    gone = home.call("PATCH", "git/refs/heads/gone", json={"sha": old})
    other = Instead("404 Not Found", "the adapter makes a ref that it did not see, and moves one that it saw")
    assert said(gone) == documented("422 Reference does not exist", emulate=other)
    assert home.forge().commit_of(branch) == new
    forced = home.call("PATCH", f"git/refs/heads/{branch}", json={"sha": old, "force": True})
    assert (forced.status_code, forced.json()["object"]["sha"]) == (200, old)
    assert home.call("DELETE", f"git/refs/heads/{branch}").status_code == 204
    twice = said(home.call("DELETE", f"git/refs/heads/{branch}"))
    assert twice == documented("422 Reference does not exist", emulate=Instead("404 Not Found", WORDED))
    assert outcome(lambda: home.forge().commit_of(branch)) == "branch-missing"


def test_unknown_object(home: Home, documented: Documented) -> None:
    """A ref to an object that is missing is refused"""
    answer = home.call("POST", "git/refs", json={"ref": f"refs/tags/{home.fresh()}", "sha": ZERO})
    assert said(answer) == documented("422 Object does not exist", emulate=Instead("422 Invalid sha", WORDED))


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
    taken = f"422 Validation Failed: PullRequest custom A pull request already exists for {OWNER}:{branch}."
    assert said(again) == documented(taken, emulate=Instead("201", "the adapter looks before it asks for one"))


def test_pull_request_for_nothing(home: Home, documented: Documented) -> None:
    """A pull request without a commit of its own is refused"""
    branch = home.branch()
    answer = home.call("POST", "pulls", json={"title": "None", "head": branch, "base": "main"})
    refused = f"422 Validation Failed: PullRequest custom No commits between main and {branch}"
    assert said(answer) == documented(refused, emulate=Instead("201", LOOSE))


# People


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


# The rest of what the rehearsal serves


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
            '422 Invalid request.\n\n"sha" wasn\'t supplied.',
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
    other = {} if emulated == expected else {"emulate": Instead(emulated, WORDED)}
    assert said(answer) == documented(expected, **other)
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
    assert shown["commits"] == documented(1, emulate=Instead(2, "it counts the one that the branch began with"))
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


def test_release_edited(home: Home) -> None:
    """A release keeps what an edit does not name"""
    release = home.draft(home.fresh())
    edited = home.call("PATCH", f"releases/{release.id}", json={"name": "Two", "prerelease": True})
    assert edited.status_code == 200
    (seen,) = home.forge().releases(release.tag)
    assert (seen.name, seen.body, seen.prerelease, seen.draft) == ("Two", "notes", True, True)


def test_asset_edited(home: Home, documented: Documented) -> None:
    """A file is renamed, but not to a name that is taken"""
    release = home.draft(home.fresh())
    one, two = (home.forge().upload(release, name, home.file(b"x"), ignore) for name in ("one", "two"))
    renamed = home.call("PATCH", f"releases/assets/{one.id}", json={"name": "three", "label": "The third"})
    assert (renamed.status_code, renamed.json()["name"], renamed.json()["label"]) == (200, "three", "The third")
    taken = home.call("PATCH", f"releases/assets/{two.id}", json={"name": "three"})
    expected = "422 Validation Failed: ReleaseAsset name already_exists"
    assert said(taken) == documented(expected, emulate=Instead("200", LOOSE))


def test_notes(home: Home, documented: Documented) -> None:
    """Notes are generated from the commits since a tag, and nothing is stored"""
    first, second = home.fresh(), home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/tags/{first}", "sha": home.head})
    home.commit()
    sent = {"tag_name": second, "target_commitish": "main", "previous_tag_name": first}
    shown = home.call("POST", "releases/generate-notes", json=sent)
    assert shown.status_code == 200
    lines = shown.json()["body"].splitlines()
    stub = "it makes a stub of the notes, which we do not use"
    heading = documented("## What's Changed", emulate=Instead("## What's changed", stub))
    assert lines[0] == heading
    if home.world:
        assert (shown.json()["name"], lines[1]) == (second, f"* a change by @{OWNER}")
        assert lines[-1] == f"**Full Changelog**: {home.url}/{TOOL}/compare/{first}...{second}"
    assert home.forge().releases(second) == ()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"event_type": "update", "client_payload": {"version": "1.0.0"}}, "204"),
        ({"event_type": "x" * 101}, "422 Invalid request.\n\nevent_type must have 1 to 100 characters."),
        (
            {"event_type": "x", "client_payload": dict.fromkeys("abcdefghijk")},
            "422 Invalid request.\n\nNo more than 10 properties are allowed.",
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
        ("POST", "releases", b"{", "400 Problems parsing JSON", ""),
        ("POST", "releases", b"[]", "400 Body should be a JSON object", "422 Validation failed"),
        (
            *("POST", "releases", {"tag_name": 5}),
            "422 Invalid request.\n\nFor 'properties/tag_name', 5 is not a string.",
            "422 Validation failed",
        ),
        (
            *("POST", "releases", {"tag_name": "v0", "draft": "yes"}),
            "422 Invalid request.\n\nFor 'properties/draft', \"yes\" is not a boolean.",
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
        ("POST", f"statuses/{ZERO}", {"state": "success"}, f"422 No commit found for SHA: {ZERO}", "404 Not Found"),
        ("GET", f"commits/{ZERO}/check-runs", None, f"422 No commit found for SHA: {ZERO}", "404 Not Found"),
        ("GET", "collaborators/nobody/permission", None, "404 Not Found", ""),
        (
            *("POST", "pulls", {"title": "x", "head": "nowhere", "base": "main"}),
            "422 Validation Failed: PullRequest head invalid",
            "201",
        ),
        ("GET", "releases/one", None, "404 Not Found", ""),
        ("GET", "nothing/here", None, "404 Not Found", ""),
    ],
    ids=lambda value: value if isinstance(value, str) and value[:1] in "GP" else "",
)
def test_refused(
    home: Home, documented: Documented, method: str, path: str, sent: Any, expected: str, emulated: str
) -> None:
    """What cannot be is refused, and the reason is named"""
    body = {"content": sent} if isinstance(sent, bytes) else {"json": sent}
    other = {"emulate": Instead(emulated, LOOSE if emulated[:1] == "2" else WORDED)} if emulated else {}
    assert said(home.call(method, path, **body)) == documented(expected, **other)


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
