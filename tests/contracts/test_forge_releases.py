"""The forge as the place of releases: what our adapter may rely on of GitHub's REST API.

docs.github.com/rest (releases, release assets), docs.github.com/code-security (immutable releases), and the page on
pagination.
"""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.contracts.forges import (
    BYTES,
    EMULATE,
    MANY,
    OWNER,
    TOOL,
    Home,
    fixtures,
    ignore,
    outcome,
    refused,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "GitHub: releases and their files"
INVALID = "422 Validation Failed: Release"

home = fixtures(REHEARSAL, EMULATE)


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
        ({}, '422 Invalid request. / "tag_name" wasn\'t supplied.'),
        (
            {"tag_name": "a..b"},
            f"{INVALID} tag_name custom tag_name is not a valid tag",
        ),
        ({"target_commitish": "gone"}, f"{INVALID} target_commitish invalid"),
        (
            {"body": "x" * 125_001},
            f"{INVALID} body custom body is too long (maximum is 125000 characters)",
        ),
        ({"make_latest": "yes"}, "422 Invalid request. / make_latest is none of true, false, legacy."),
    ],
    ids=["no tag", "a tag that is none", "no such branch", "a long text", "a word"],
)
def test_refused_release(home: Home, documented: Documented, sent: dict[str, Any], expected: str) -> None:
    """A release that cannot be is refused with 422, and the field is named"""
    given = {"tag_name": home.fresh(), "draft": True, **sent} if sent else {"draft": True}
    answer = home.call("POST", "releases", json=given)
    assert said(answer) == refused(documented, expected, "201" if sent else "422 Validation failed")


def test_asset(home: Home, documented: Documented) -> None:
    """An uploaded file is digested by the server"""
    content = os.urandom(1 << 16)
    release = home.draft(home.fresh())
    asset = home.forge().upload(release, "tool.tar.gz", home.file(content), ignore)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    none = Instead("no digest", "where there is none, the adapter downloads and compares")
    known = {digest: "the SHA-256 of the bytes", "": "no digest"}.get(asset.digest)
    assert known == documented("the SHA-256 of the bytes", emulate=none)
    shown = home.call("GET", f"releases/assets/{asset.id}").json()
    assert (asset.name, asset.size, asset.complete) == ("tool.tar.gz", len(content), True)
    assert [shown[k] for k in ("name", "size", "state", "content_type")] == [
        *("tool.tar.gz", len(content), "uploaded", BYTES)
    ]
    assert (shown.get("digest") or "") == asset.digest
    who = documented(
        OWNER, emulate=Instead("ghost", "it does not say who uploaded; the adapter takes that for no person")
    )
    assert (asset.by.login, asset.human) == (who, who == OWNER)
    assert [a.id for a in home.forge().releases(release.tag)[0].assets] == [asset.id]


def test_asset_again(home: Home, documented: Documented) -> None:
    """A name is taken once: the same name again is 422, and the first file stays"""
    release = home.draft(home.fresh())
    forge, first = home.forge(), home.file(b"ours")
    kept = forge.upload(release, "tool", first, ignore)
    both = "it takes a second file of the same name"
    expected = documented("asset-exists", emulate=Instead("done", both))
    assert outcome(lambda: forge.upload(release, "tool", home.file(b"theirs"), ignore)) == expected
    taken = "422 Validation Failed: ReleaseAsset name already_exists"
    assert said(home.upload(release, "tool", b"more")) == documented(taken, emulate=Instead("201", both))
    assets = home.forge().releases(release.tag)[0].assets
    assert kept in assets
    assert (len(assets) == 1) is (expected == "asset-exists")


def test_asset_renamed(home: Home, documented: Documented) -> None:
    """Unusual characters of a name are replaced, which the adapter does not let pass"""
    release = home.draft(home.fresh())
    answer = home.upload(release, "a+b c.whl", b"x")
    every = "it keeps every name; what we publish has no such names"
    assert answer.json()["name"] == documented("a.b.c.whl", emulate=Instead("a+b c.whl", every))
    code = outcome(lambda: home.forge().upload(release, "x+y", home.file(b"x"), ignore))
    assert code == documented("asset-renamed", emulate=Instead("done", every))


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
    answer = home.upload(home.draft(home.fresh()), name, content)
    assert said(answer) == refused(documented, expected, "201" if name else "422 Validation failed")


def test_download(home: Home, documented: Documented) -> None:
    """A file's bytes come by a redirect to the storage, for which no token is needed"""
    content, target = os.urandom(1 << 16), home.folder / home.fresh()
    forge = home.forge()
    asset = forge.upload(home.draft(home.fresh()), "tool", home.file(content), ignore)
    answer = home.call("GET", f"releases/assets/{asset.id}", headers={"Accept": BYTES})
    description = "it answers with the description of the file; the adapter sees that the size differs"
    assert answer.status_code == documented(302, emulate=Instead(200, description))
    expected = documented("done", emulate=Instead("asset-size", description))
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
    none = Instead("no tag", "it makes none; what is released has its tag before the draft")
    known = {commit: "a tag at its commit", "": "no tag"}.get(made.commit if made else "")
    assert known == documented("a tag at its commit", emulate=none)


def test_public_files(home: Home, documented: Documented) -> None:
    """Files can be downloaded by anybody once the release is public, and not before"""
    release = home.draft(home.fresh())
    drafted = home.forge().upload(release, "tool", home.file(b"ours"), ignore)
    assert home.forge().is_public(drafted) is False
    asset = home.forge().publish(release, latest=False).assets[0]
    public = documented(
        True,
        emulate=Instead(False, "it serves no downloads, and the adapter takes nothing for public that it cannot get"),
    )
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
    assert said(answer) == refused(documented, taken, "422 Validation failed")


def test_latest(home: Home, documented: Documented) -> None:
    """What counts as latest moves only where that is asked for, and is never a prerelease"""

    def latest() -> str:
        tag: str = home.call("GET", "releases/latest", "").json()["tag_name"]
        return tag

    first, second, third = (home.fresh() for _ in range(3))
    home.forge().publish(home.draft(first), latest=True)
    assert latest() == first
    home.forge().publish(home.draft(second), latest=False)
    before = latest()
    newest = Instead("the newest", "it does not heed `make_latest`")
    known = {first: "the one that asked", second: "the newest"}.get(before)
    assert known == documented("the one that asked", emulate=newest)
    made = home.forge().create_draft(third, home.head, third, "", prerelease=True)
    assert home.forge().publish(made, latest=False).prerelease is True
    assert latest() == before


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
    mutable = "none of its releases is immutable; GitHub's refusal is seen in the rehearsal alone"
    assert shown.get("immutable", False) is documented(True, emulate=Instead(False, mutable))
    upload = said(home.upload(published, "more", b"x"))
    wanted = "422 Cannot upload assets to an immutable release"
    assert upload == documented(wanted, emulate=Instead("201", mutable))
    deleted = said(home.call("DELETE", f"releases/assets/{asset.id}"))
    wanted = "422 Cannot delete asset from an immutable release"
    assert deleted == documented(wanted, emulate=Instead("204", mutable))
    assert home.call("DELETE", f"releases/{release.id}").status_code == 204
    again = home.call("POST", "releases", json={"tag_name": release.tag})
    wanted = f"{INVALID} tag_name custom tag_name was used by an immutable release"
    assert said(again) == documented(wanted, emulate=Instead("201", mutable))


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
    assert said(taken) == refused(documented, expected, "200")


def test_notes(home: Home, documented: Documented) -> None:
    """Notes are generated from the commits since a tag, and nothing is stored"""
    first, second = home.fresh(), home.fresh()
    home.call("POST", "git/refs", json={"ref": f"refs/tags/{first}", "sha": home.head})
    home.commit()
    sent = {"tag_name": second, "target_commitish": "main", "previous_tag_name": first}
    shown = home.call("POST", "releases/generate-notes", json=sent)
    assert shown.status_code == 200
    lines = shown.json()["body"].splitlines()
    stub = "it makes a stub of the notes, which our adapter does not ask for"
    heading = documented("## What's Changed", emulate=Instead("## What's changed", stub))
    assert lines[0] == heading
    if home.world:
        assert (shown.json()["name"], lines[1]) == (second, f"* a change by @{OWNER}")
        assert lines[-1] == f"**Full Changelog**: {home.url}/{TOOL}/compare/{first}...{second}"
    assert home.forge().releases(second) == ()
