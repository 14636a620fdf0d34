"""The npm registry: what our adapter and npm's own client may rely on.

npm/cli workspaces/libnpmpublish/lib, npm/registry docs/responses/package-metadata.md, npm/api-documentation
api/registry.npmjs.com, npm/documentation policies/unpublish.mdx.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from releaser.engine.ports import Credential, Sent
from tests.contracts.npm_registries import (
    DOCUMENT_LIMIT,
    FULL,
    OWN_WORDS,
    SHORT,
    VERDACCIO,
    Pack,
    Served,
    attached,
    escaped,
    fixtures,
    refused,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "npm: publishing and reading"
SAYS_OK = "it says `ok`; nobody reads the body"

server, npm = fixtures(REHEARSAL, VERDACCIO)


# publishing


@pytest.mark.parametrize("scope", ["", "@acme/"], ids=["unscoped", "scoped"])
def test_published(npm: Served, scope: str) -> None:
    """Our adapter publishes a prebuilt tarball and reads its digest back"""
    pack = npm.new(scope=scope)
    receipt = npm.publish(pack)
    assert (receipt.sent, receipt.detail) == (Sent.ACCEPTED, "")
    assert npm.seen(pack) == "ours"
    assert pack.artifact.matches(npm.adapter.observe(pack.name, pack.version).files[pack.base])


def test_accepted(npm: Served, documented: Documented) -> None:
    """A publish document is accepted with `success`"""
    answer = npm.put(npm.new())
    assert answer.status_code == documented(200, verdaccio=Instead(201, "created; the adapter takes both"))
    assert answer.headers["content-type"].startswith(FULL)
    assert answer.json()["success"] is True


@pytest.mark.parametrize("scope", ["", "@acme/"], ids=["unscoped", "scoped"])
def test_tarball(npm: Served, scope: str) -> None:
    """A tarball is served byte for byte at the address that its version names"""
    pack = npm.new(scope=scope)
    npm.publish(pack)
    address = npm.packument(pack.name)["versions"]["1.0.0"]["dist"]["tarball"]
    escaped_too = f"{npm.url}/{escaped(pack.name)}/-/{address.rpartition('/-/')[2]}"
    for url in (address, escaped_too):
        answer = npm.http.get(url)
        assert (answer.status_code, answer.content) == (200, pack.content)
        assert answer.headers["content-type"].startswith("application/octet-stream")


def test_tarball_address(npm: Served) -> None:
    """The registry chooses the tarball's address, without the scope in the file's name"""
    pack = npm.new(scope="@acme/")
    npm.put(pack)
    address = npm.packument(pack.name)["versions"]["1.0.0"]["dist"]["tarball"]
    assert address == f"{npm.url}/{pack.name}/-/{pack.base}"


def test_digests(npm: Served) -> None:
    """`dist` holds the SHA-512 as `integrity` and the SHA-1 as `shasum`"""
    pack = npm.new()
    npm.put(pack)
    for accept in (FULL, SHORT):
        dist = npm.packument(pack.name, accept)["versions"]["1.0.0"]["dist"]
        assert (dist["integrity"], dist["shasum"]) == (pack.integrity, pack.shasum)
        assert dist["tarball"].startswith(f"{npm.url}/{pack.name}/-/")


# the packument

MANIFEST = {
    "description": "A widget",
    "dependencies": {"left": "^1"},
    "devDependencies": {"right": "^1"},
    "optionalDependencies": {"up": "^1"},
    "peerDependencies": {"down": "^1"},
    "peerDependenciesMeta": {"down": {"optional": True}},
    "bundleDependencies": ["left"],
    "bin": {"widget": "cli.js"},
    "directories": {"lib": "lib"},
    "engines": {"node": ">=20"},
    "os": ["linux"],
    "cpu": ["x64"],
    "libc": ["glibc"],
    "deprecated": "use another",
    "license": "MIT",
}
FOR_INSTALLERS = sorted({*MANIFEST, "name", "version", "dist"} - {"description", "license"})


def test_packument(npm: Served, documented: Documented) -> None:
    """The full packument is `application/json` with every field of package.json"""
    pack = npm.new(manifest=MANIFEST)
    npm.put(pack)
    answer = npm.get(f"/{pack.name}", accept=FULL)
    document = answer.json()
    described = document["versions"]["1.0.0"]
    assert answer.headers["content-type"].partition(";")[0] == FULL
    assert document["_id"] == document["name"] == pack.name
    assert re.fullmatch(r"\d+-[0-9a-f]{16,32}", document["_rev"])
    assert document["dist-tags"] == {"latest": "1.0.0"}
    assert described | MANIFEST == described
    assert (described["name"], described["version"], described["main"]) == (pack.name, "1.0.0", "index.js")
    identified = described.get("_id") == f"{pack.name}@1.0.0"
    assert identified is documented(True, verdaccio=Instead(False, "it adds no `_id`; npm and our adapter send one"))
    more = sorted(set(document) - {"_id", "_rev", "name", "dist-tags", "versions", "time"})
    assert ", ".join(more) == documented(
        "", verdaccio=Instead("_attachments, readme, users", "fields of its own, which nobody reads")
    )


def test_times(npm: Served, documented: Documented) -> None:
    """The full packument says when the package and each version came"""
    pack = npm.new()
    npm.put(pack)
    npm.setting.clock += 3600.25
    npm.put(Pack(pack.name, "1.1.0"))
    time = npm.packument(pack.name)["time"]
    assert sorted(time) == ["1.0.0", "1.1.0", "created", "modified"]
    assert (time["created"], time["modified"]) == (time["1.0.0"], time["1.1.0"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in time.values())
    ago = [npm.setting.now() - datetime.fromisoformat(time[key]).timestamp() for key in ("created", "modified")]
    assert [round(seconds / 60) for seconds in ago] == documented(
        [60, 0], verdaccio=Instead([0, 0], "its clock is the machine's, where no hour went by")
    )
    assert npm.packument(pack.name, SHORT)["modified"] == time["modified"]


@pytest.mark.parametrize("accept", [SHORT, f"{SHORT}; q=1.0, application/json; q=0.8, */*"], ids=["bare", "as npm"])
def test_short_packument(npm: Served, accept: str, documented: Documented) -> None:
    """The short packument has its own content type and what an installer needs"""
    pack = npm.new(manifest=MANIFEST)
    npm.put(pack)
    answer = npm.get(f"/{pack.name}", accept=accept)
    document = answer.json()
    described = document["versions"]["1.0.0"]
    assert answer.headers["content-type"].partition(";")[0] == SHORT
    assert (document["name"], document["dist-tags"]) == (pack.name, {"latest": "1.0.0"})
    assert described["dist"] == npm.packument(pack.name)["versions"]["1.0.0"]["dist"]
    assert all(described[key] == MANIFEST[key] for key in described.keys() & MANIFEST.keys())
    left_out, more = set(FOR_INSTALLERS) - set(described), set(described) - set(FOR_INSTALLERS)
    assert ", ".join(left_out) == documented(
        "", verdaccio=Instead("libc", "it leaves this field out, which our adapter does not read")
    )
    assert ", ".join(sorted(more)) == documented(
        "", verdaccio=Instead("description, hasInstallScript", "it has these fields in every version")
    )
    assert ", ".join(sorted(document)) == documented(
        "dist-tags, modified, name, versions",
        verdaccio=Instead("dist-tags, modified, name, time, versions", "it gives times in both forms"),
    )


@pytest.mark.parametrize("script", ["preinstall", "install", "postinstall"])
def test_install_script(npm: Served, script: str) -> None:
    """The short packument warns of scripts that run at installation"""
    pack, quiet = npm.new(manifest={"scripts": {script: "true"}}), npm.new(manifest={"scripts": {"test": "true"}})
    for each in (pack, quiet):
        npm.put(each)
    described = [npm.packument(each.name, SHORT)["versions"]["1.0.0"] for each in (pack, quiet)]
    assert [bool(d.get("hasInstallScript")) for d in described] == [True, False]
    assert ["scripts" in d for d in described] == [False, False]


def test_negotiated(npm: Served, documented: Documented) -> None:
    """The two forms are kept apart in caches by `Vary`"""
    pack = npm.new()
    npm.put(pack)
    for accept in (FULL, SHORT):
        assert npm.get(f"/{pack.name}", accept=accept).headers["vary"] == documented(
            "Accept", verdaccio=Instead("Accept-Encoding", "it forgets Accept; our adapter keeps no cache")
        )


def test_revalidated(npm: Served) -> None:
    """A packument that is known by its ETag is not sent again until it changes"""
    pack = npm.new()
    npm.put(pack)
    first = npm.get(f"/{pack.name}")
    known = first.headers["etag"]
    again = npm.get(f"/{pack.name}", if_none_match=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", known)
    npm.put(Pack(pack.name, "1.1.0"))
    changed = npm.get(f"/{pack.name}", if_none_match=known)
    assert (changed.status_code, list(changed.json()["versions"])) == (200, ["1.0.0", "1.1.0"])
    version = npm.get(f"/{pack.name}/1.0.0")
    repeated = npm.get(f"/{pack.name}/1.0.0", if_none_match=version.headers["etag"])
    assert repeated.status_code == 304


@pytest.mark.parametrize("spelling", ["%2f", "%2F", "/"], ids=["escaped", "upper case", "plain"])
def test_escaped_names(npm: Served, spelling: str) -> None:
    """A scoped name is found however its slash is escaped"""
    pack = npm.new(scope="@acme/")
    npm.put(pack)
    path = f"/{pack.name.replace('/', spelling)}"
    assert npm.get(path).json()["name"] == pack.name
    assert npm.get(path, accept=SHORT).headers["content-type"].partition(";")[0] == SHORT


def test_version(npm: Served, documented: Documented) -> None:
    """One version is read by its number or by a dist-tag"""
    pack = npm.new(scope="@acme/", manifest=MANIFEST)
    npm.put(pack, "next")
    path = f"/{escaped(pack.name)}"
    by_number = npm.get(f"{path}/1.0.0")
    assert by_number.headers["content-type"].partition(";")[0] == FULL
    assert by_number.json() == npm.packument(pack.name)["versions"]["1.0.0"]
    assert npm.get(f"{path}/next").json() == by_number.json()
    assert said(npm.get(f"{path}/9.9.9")) == documented(
        "404 version not found: 9.9.9", verdaccio=Instead("404 this version doesn't exist: 9.9.9", OWN_WORDS)
    )


NOTHING = "no such package available"


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("/nothing", NOTHING),
        ("/@acme%2fnothing", NOTHING),
        ("/@acme/nothing", NOTHING),
        ("/nothing/1.0.0", NOTHING),
        ("/nothing/-/nothing-1.0.0.tgz", ""),
        ("/@acme/nothing/-/nothing-1.0.0.tgz", ""),
        ("/-/package/nothing/dist-tags", NOTHING),
        ("/-/npm/v1/attestations/nothing@1.0.0", "File not found"),
        ("/-/v2/nowhere/at/all", "File not found"),
    ],
)
def test_absent(npm: Served, path: str, theirs: str, documented: Documented) -> None:
    """What does not exist is 404"""
    answer = npm.get(path)
    why = OWN_WORDS if theirs else "it refuses as well, as if its words were a file"
    assert said(answer) == documented("404 Not found", verdaccio=Instead(f"404 {theirs}".strip(), why))


def test_absent_for_the_port(npm: Served) -> None:
    """Our adapter tells an unknown package from an unknown version"""
    pack = npm.new()
    assert npm.seen(pack) == "no package"
    npm.put(Pack(pack.name, "0.9.0"))
    assert npm.seen(pack) == "no version"
    tarball = npm.get(f"/{pack.name}/-/{pack.base}")
    assert tarball.status_code == 404


# the same again


@pytest.mark.parametrize("note", ["", "other"], ids=["same bytes", "other bytes"])
def test_again(npm: Served, note: str, documented: Documented) -> None:
    """A version is never published twice, whatever its bytes; the digest tells whose is there"""
    first = npm.new()
    again = Pack(first.name, first.version, note)
    npm.publish(first)
    assert said(npm.put(again)) == documented(
        "403 You cannot publish over the previously published versions: 1.0.0.",
        verdaccio=Instead(
            "409 this package is already present",
            "it refuses as well, with the status of a race; the adapter reads back whose is there",
        ),
    )
    receipt = npm.publish(again)
    assert receipt.sent is documented(
        Sent.TAKEN, verdaccio=Instead(Sent.LATER, "409 is a race to the adapter, which reads back whose is there")
    )
    assert receipt.detail == said(npm.put(again))
    there = npm.adapter.observe(first.name, "1.0.0").files[first.base]
    assert again.artifact.matches(there) is (note == "")
    assert npm.get(f"/{first.name}/-/{first.base}").content == first.content


def test_writers(npm: Served, documented: Documented) -> None:
    """Of many who publish one version at once, one succeeds, and the bytes are his"""
    packs = [npm.new(note="0")]
    packs += [Pack(packs[0].name, note=str(number)) for number in range(1, 5)]
    with ThreadPoolExecutor(len(packs)) as writers:
        outcomes = [answer.status_code for answer in writers.map(npm.put, packs)]
    won = [pack for pack, status in zip(packs, outcomes, strict=True) if status < 300]
    lost = {status for status in outcomes if status >= 300}
    assert len(won) == 1
    assert lost <= documented(
        {403}, verdaccio=Instead({409, 500}, "it refuses or fails; after either the adapter reads back whose is there")
    )
    assert npm.seen(won[0]) == "ours"


def test_race(npm: Served, documented: Documented) -> None:
    """A race between two documents is 409 and passes: nothing was stored"""
    pack = npm.new()
    npm.setting.race()
    receipt = npm.publish(pack)
    kept = "it locks a package while it is written, so there is no race to lose"
    assert receipt.sent is documented(Sent.LATER, verdaccio=Instead(Sent.ACCEPTED, kept))
    assert bool(npm.adapter.observe(pack.name, "1.0.0").files) is documented(False, verdaccio=Instead(True, kept))


# documents that are wrong

Change = Callable[[dict[str, Any]], object]


def dist(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["versions"]["1.0.0"]["dist"]
    return found


OTHER = Pack("other").content
DISAGREE = "name or version disagree"
TAGS = "dist-tags must be words for the published version"
SHASUM = "400 shasum error, DIGEST != DIGEST"
MISMATCH = "tarball does not match its digests or length"
WRONG: dict[str, tuple[Change, str, str]] = {
    "another name": (lambda b: b.update(name="gadget"), DISAGREE, "422 bad incoming package data"),
    "another id": (lambda b: b.update(_id="gadget"), DISAGREE, "201"),
    "another name in package.json": (lambda b: b["versions"]["1.0.0"].update(name="gadget"), DISAGREE, "201"),
    "another version in package.json": (lambda b: b["versions"]["1.0.0"].update(version="1.0.1"), DISAGREE, "201"),
    "a version that is none": (
        lambda b: b.update(versions={"1.0": {**b["versions"]["1.0.0"], "version": "1.0"}}),
        DISAGREE,
        "404 this version doesn't exist",
    ),
    "a tag for another version": (
        lambda b: b.update({"dist-tags": {"latest": "2.0.0"}}),
        TAGS,
        "404 this version doesn't exist",
    ),
    "no tag at all": (lambda b: b.update({"dist-tags": {}}), TAGS, "201"),
    "a tag like a version": (lambda b: b.update({"dist-tags": {"1.0": "1.0.0"}}), TAGS, "201"),
    "a tag like a version with v": (lambda b: b.update({"dist-tags": {"v1": "1.0.0"}}), TAGS, "201"),
    "integrity of other bytes": (
        lambda b: dist(b).update(integrity=f"sha512-{base64.b64encode(hashlib.sha512(OTHER).digest()).decode()}"),
        MISMATCH,
        "201",
    ),
    "integrity by another digest": (
        lambda b: dist(b).update(integrity=f"sha256-{base64.b64encode(hashlib.sha256(OTHER).digest()).decode()}"),
        MISMATCH,
        "201",
    ),
    "no integrity": (lambda b: dist(b).pop("integrity"), MISMATCH, "201"),
    "shasum of other bytes": (lambda b: dist(b).update(shasum=hashlib.sha1(OTHER).hexdigest()), MISMATCH, SHASUM),  # noqa: S324
    "no shasum": (lambda b: dist(b).pop("shasum"), MISMATCH, "201"),
    "other bytes": (
        lambda b: attached(b).update(data=base64.b64encode(OTHER).decode(), length=len(OTHER)),
        MISMATCH,
        SHASUM,
    ),
    "another length": (lambda b: attached(b).update(length=1), MISMATCH, "201"),
    "no length": (lambda b: attached(b).pop("length"), MISMATCH, "201"),
}


@pytest.mark.parametrize("change", WRONG)
def test_wrong_document(npm: Served, change: str, documented: Documented) -> None:
    """A document that contradicts itself or its tarball is refused, and nothing is stored"""
    make, ours, theirs = WRONG[change]
    pack = npm.new()
    body = pack.document()
    make(body)
    answer = npm.send(body, pack.name)
    refusal = refused(documented, f"400 invalid publish document: {ours}", theirs)
    assert re.sub("[0-9a-f]{40}", "DIGEST", said(answer)) == refusal
    stored = npm.get(f"/{pack.name}").status_code
    kept = Instead(404 if theirs.startswith("422") else 200, "it keeps at least the name")
    assert stored == documented(404, verdaccio=kept)


MALFORMED: dict[str, tuple[Change, str]] = {
    "no versions": (lambda b: b.update(versions={}), "400 unsupported registry call"),
    "two versions": (lambda b: b["versions"].update({"2.0.0": {}}), "400 unsupported registry call"),
    "no name": (lambda b: b.pop("name"), "422 bad incoming package data"),
    "no id": (lambda b: b.pop("_id"), "201"),
    "no tags": (lambda b: b.pop("dist-tags"), "201"),
    "no dist": (lambda b: b["versions"]["1.0.0"].pop("dist"), "201"),
    "no attachment": (lambda b: b.update(_attachments={}), "201"),
    "two attachments": (lambda b: b["_attachments"].update({"x.tgz": attached(b)}), "400 unsupported registry call"),
    "an attachment without data": (lambda b: attached(b).pop("data"), "500 internal server error"),
    "no Base64": (lambda b: attached(b).update(data="%%%"), "422 refusing to accept zero-length file"),
    "an access of its own": (lambda b: b.update(access="mine"), "201"),
}


@pytest.mark.parametrize("change", MALFORMED)
def test_malformed_document(npm: Served, change: str, documented: Documented) -> None:
    """A document without its fields is refused"""
    make, theirs = MALFORMED[change]
    pack = npm.new()
    body = pack.document()
    make(body)
    answer = npm.send(body, pack.name)
    assert said(answer).partition(":")[0] == refused(documented, "400 invalid publish document", theirs)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"], ids=["nothing", "cut off", "a list", "a number"])
def test_no_document(npm: Served, body: bytes, documented: Documented) -> None:
    """What is no document is refused with 400"""
    headers = {**npm.bearing(), "Content-Type": FULL}
    answer = npm.http.put(f"{npm.url}/{npm.new().name}", content=body, headers=headers)
    fails = Instead(400 if body else 500, "it fails where there is nothing, and stores nothing")
    assert answer.status_code == documented(400, verdaccio=fails)


def test_refusal(npm: Served, documented: Documented) -> None:
    """A refusal is JSON with its words in `error`, and in `message`"""
    answer = npm.put(npm.new(), token="")
    assert answer.headers["content-type"].partition(";")[0] == FULL
    assert sorted(answer.json()) == documented(["error", "message"], verdaccio=Instead(["error"], "it says them once"))
    assert len(set(answer.json().values())) == 1


def test_large(npm: Served, documented: Documented) -> None:
    """A document over the limit is 413, and refused for good"""
    pack = npm.new(note="x" * 64)
    content = b"\0" * DOCUMENT_LIMIT
    body = pack.document()
    attached(body).update(data=base64.b64encode(content).decode(), length=len(content))
    answer = npm.send(body, pack.name)
    assert said(answer) == documented(
        "413 Payload Too Large", verdaccio=Instead("413 request entity too large", OWN_WORDS)
    )
    assert npm.seen(pack) == "no package"
    # Random text does not compress, so the tarball is as large as it.
    big = npm.new(note=hashlib.shake_256(b"").hexdigest(DOCUMENT_LIMIT))
    assert npm.publish(big).sent is Sent.REFUSED
    small = npm.new(note="a" * 100)
    assert npm.put(small).status_code < 300


# dist-tags


def test_tags_never_move_back(npm: Served) -> None:
    """Neither a late fix of an old line nor a pre-release moves `latest` (T67)"""
    name = npm.new().name
    for version in ("2.0.0", "1.9.1", "2.1.0-rc.1", "2.1.0-beta.1", "2.0.1"):
        assert npm.publish(Pack(name, version)).sent is Sent.ACCEPTED
    tags = {"latest": "2.0.1", "release-1.9": "1.9.1", "rc": "2.1.0-rc.1", "beta": "2.1.0-beta.1"}
    assert npm.packument(name)["dist-tags"] == tags
    assert npm.packument(name, SHORT)["dist-tags"] == tags
    assert npm.get(f"/-/package/{name}/dist-tags").json() == tags


def test_first_prerelease(npm: Served, documented: Documented) -> None:
    """The first version of a package may be a pre-release, under its own tag alone"""
    name = npm.new().name
    npm.publish(Pack(name, "1.0.0-rc.1"))
    assert npm.packument(name)["dist-tags"] == documented(
        {"rc": "1.0.0-rc.1"},
        verdaccio=Instead(
            {"latest": "1.0.0-rc.1", "rc": "1.0.0-rc.1"}, "it makes up a `latest`; the first final version takes it"
        ),
    )
    npm.publish(Pack(name, "1.0.0"))
    assert npm.packument(name)["dist-tags"] == {"latest": "1.0.0", "rc": "1.0.0-rc.1"}


def test_tags_by_hand(npm: Served, documented: Documented) -> None:
    """A person sets and removes dist-tags"""
    pack = npm.new(scope="@acme/")
    npm.put(pack)
    tags = f"{npm.url}/-/package/{escaped(pack.name)}/dist-tags"
    added = npm.http.put(f"{tags}/old", json="1.0.0", headers=npm.bearing())
    both = {"latest": "1.0.0", "old": "1.0.0"}
    confirms = "it confirms, and does not list the tags; npm reads neither"
    body = documented("tags", verdaccio=Instead("ok", confirms))
    assert (added.status_code, added.json()) == (201, {"tags": both, "ok": {"ok": "package tagged"}}[body])
    assert npm.http.get(tags).json() == both
    assert said(npm.http.put(f"{tags}/old", json="9.9.9", headers=npm.bearing())) == documented(
        "404 version not found: 9.9.9", verdaccio=Instead("404 this version doesn't exist", OWN_WORDS)
    )
    removed = npm.http.delete(f"{tags}/old", headers=npm.bearing())
    body = documented("200 tags", verdaccio=Instead("201 ok", confirms))
    assert (removed.status_code, removed.json()) == {
        "200 tags": (200, {"latest": "1.0.0"}),
        "201 ok": (201, {"ok": "tag removed"}),
    }[body]
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "1.0.0"}


# who may

AUTHORIZE = "authorization required to publish package"


def test_no_token(npm: Served, documented: Documented) -> None:
    """Without a token nothing is published, tagged or removed"""
    pack = npm.new()
    npm.put(pack)
    more, tags = Pack(pack.name, "1.1.0"), f"{npm.url}/-/package/{pack.name}/dist-tags/old"
    revised = f"{npm.url}/{pack.name}/-rev/1-0"
    answers = [
        npm.put(more, token=""),
        npm.http.put(f"{npm.url}/{pack.name}", json=more.document(), headers={"Authorization": f"Basic {npm.token}"}),
        npm.http.put(tags, json="1.0.0"),
        npm.http.delete(tags),
        npm.http.put(revised, json={}),
        npm.http.delete(revised),
    ]
    refusal = documented('401 Missing "Bearer" header.', verdaccio=Instead(f"401 {AUTHORIZE} NAME", OWN_WORDS))
    assert {said(answer).replace(pack.name, "NAME").replace("unpublish", "publish") for answer in answers} == {refusal}
    assert list(npm.packument(pack.name)["versions"]) == ["1.0.0"]


def test_wrong_token(npm: Served, documented: Documented) -> None:
    """To a token that it does not know npm says 404, not 403"""
    pack = npm.new()
    refusal = documented(
        "404 Not found", verdaccio=Instead(f"401 {AUTHORIZE} NAME", "it refuses as well, and says why")
    )
    assert said(npm.put(pack, token="npm_wrong")).replace(pack.name, "NAME") == refusal
    receipt = npm.publish(pack, Credential("npm_wrong", float("inf")))
    assert receipt.sent is Sent.DENIED
    assert receipt.detail.replace(pack.name, "NAME").startswith(refusal)
    assert npm.adapter.observe(pack.name, "1.0.0").files == {}


def test_strangers_token(npm: Served, documented: Documented) -> None:
    """A good token without a right to the package is 404 too"""
    mine, new = npm.new(), npm.new()
    npm.put(mine)
    refusal = documented(
        "404 Not found",
        verdaccio=Instead(
            "403 user stranger is not allowed to publish package NAME", "it refuses as well, and says why"
        ),
    )
    for pack in (Pack(mine.name, "1.1.0"), new):
        assert said(npm.put(pack, token=npm.stranger)).replace(pack.name, "NAME") == refusal
        assert npm.publish(pack, Credential(npm.stranger, float("inf"))).sent is Sent.DENIED
        assert npm.adapter.observe(pack.name, pack.version).files == {}


def test_whoami(npm: Served, documented: Documented) -> None:
    """`ping` answers anybody, `whoami` a person"""
    assert (npm.get("/-/ping").status_code, npm.get("/-/ping").json()) == (200, {})
    whoami = npm.http.get(f"{npm.url}/-/whoami", headers=npm.bearing())
    assert (whoami.status_code, whoami.json()["username"]) == (
        200,
        documented("maintainer", verdaccio=Instead("owner", "its person has another name")),
    )
    for token in ("", "npm_wrong"):
        answer = npm.http.get(f"{npm.url}/-/whoami", headers=npm.bearing(token))
        assert said(answer) == documented(
            "401 Unauthorized", verdaccio=Instead("200", "it tells strangers nothing, in an empty object")
        )


def test_access(npm: Served, documented: Documented) -> None:
    """A restricted package is 404 to whoever may not read it"""
    open_, closed = npm.new(scope="@acme/"), npm.new(scope="@acme/")
    npm.put(open_, access="public")
    npm.put(closed, access="restricted")
    path, base = f"/{escaped(closed.name)}", npm.packument(open_.name)["versions"]["1.0.0"]["dist"]["tarball"]
    tarball = base.removeprefix(npm.url).replace(open_.name, closed.name).replace(open_.base, closed.base)
    assert npm.get(f"/{escaped(open_.name)}").status_code == 200
    theirs = Instead(200, "its configuration says who may read")
    for each in (path, f"{path}/1.0.0", tarball, f"/-/package{path}/dist-tags"):
        assert npm.get(each).status_code == documented(404, verdaccio=theirs)
        assert npm.get(each, authorization="Bearer npm_wrong").status_code == documented(404, verdaccio=theirs)
        assert npm.get(each, **npm.bearing()).status_code == 200
    assert npm.seen(closed) == documented(
        "no package", verdaccio=Instead("ours", "its configuration says who may read")
    )


def test_access_changes(npm: Served, documented: Documented) -> None:
    """A later document changes access, or leaves it as it is"""
    name = npm.new(scope="@acme/").name
    seen: list[int] = []
    for minor, access in enumerate((None, "private", None, "public", "restricted", None)):
        npm.put(Pack(name, f"1.{minor}.0"), access=access)
        seen.append(npm.get(f"/{escaped(name)}").status_code)
    assert seen == documented(
        [200, 404, 404, 200, 404, 404], verdaccio=Instead([200] * 6, "its configuration says who may read")
    )


# unpublishing


@pytest.mark.parametrize("scope", ["", "@acme/"], ids=["unscoped", "scoped"])
def test_unpublished(npm: Served, scope: str, documented: Documented) -> None:
    """A version that was unpublished is gone, and never used again"""
    pack = npm.new(scope=scope)
    npm.put(pack, "old")
    gone = Pack(pack.name, "1.1.0")
    npm.put(gone)
    kept = npm.keep(pack.name, "1.0.0")
    assert kept.status_code == documented(200, verdaccio=Instead(201, "npm takes both"))
    packument = npm.packument(pack.name)
    tarball = f"{packument['versions']['1.0.0']['dist']['tarball'].rpartition('/')[0]}/{gone.base}"
    removed = npm.http.delete(f"{tarball}/-rev/{packument['_rev']}", headers=npm.bearing())
    assert removed.status_code == documented(200, verdaccio=Instead(201, "npm takes both"))
    assert kept.json()["success"] is True
    assert removed.json().get("success") is documented(True, verdaccio=Instead(None, SAYS_OK))
    assert (list(packument["versions"]), packument["dist-tags"]) == (["1.0.0"], {"latest": "1.0.0", "old": "1.0.0"})
    assert npm.http.get(tarball).status_code == 404
    reused = "it forgets what was unpublished; only the digest tells the new bytes from the old"
    assert said(npm.put(Pack(gone.name, gone.version, "other"))) == documented(
        "403 You cannot publish over the previously published versions: 1.1.0.", verdaccio=Instead("201", reused)
    )
    assert npm.publish(gone).sent is documented(
        Sent.TAKEN,
        verdaccio=Instead(
            Sent.LATER, "it took the other bytes before; 409 is a race to the adapter, which reads back whose is there"
        ),
    )


def test_unpublished_tag(npm: Served) -> None:
    """A dist-tag goes with its version"""
    pack = npm.new()
    npm.put(pack)
    npm.put(Pack(pack.name, "1.1.0-rc.1"), "rc")
    npm.keep(pack.name, "1.0.0")
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "1.0.0"}


def test_stale_revision(npm: Served, documented: Documented) -> None:
    """A document is changed only from its newest revision"""
    pack = npm.new()
    npm.put(pack)
    stale = npm.packument(pack.name)["_rev"]
    npm.put(Pack(pack.name, "1.1.0"))
    assert stale != npm.packument(pack.name)["_rev"]
    loses = "it takes any revision: a second writer wins over the first"
    gone = npm.http.delete(f"{npm.url}/{pack.name}/-/{pack.base}/-rev/{stale}", headers=npm.bearing())
    assert said(gone) == documented("409 Document update conflict.", verdaccio=Instead("201", loses))
    assert said(npm.keep(pack.name, "1.0.0", stale)) == documented(
        "409 Document update conflict.", verdaccio=Instead("201", loses)
    )
    assert sorted(npm.packument(pack.name)["versions"]) == documented(
        ["1.0.0", "1.1.0"], verdaccio=Instead(["1.0.0"], loses)
    )


def test_unpublished_package(npm: Served, documented: Documented) -> None:
    """A package that was unpublished is 404; its name rests for a day, its versions for good"""
    pack = npm.new()
    npm.put(pack)
    url = f"{npm.url}/{pack.name}/-rev/{npm.packument(pack.name)['_rev']}"
    removed = npm.http.delete(url, headers=npm.bearing())
    assert removed.status_code == documented(200, verdaccio=Instead(201, "npm takes both"))
    assert removed.json().get("success") is documented(True, verdaccio=Instead(None, SAYS_OK))
    assert npm.seen(pack) == "no package"
    forgets = "it forgets that there ever was one"
    resting = "403 NAME cannot be republished until 24 hours have passed."
    npm.setting.clock += 86399
    rested = [said(npm.put(Pack(pack.name, version))) for version in ("1.1.0", "1.0.0")]
    npm.setting.clock += 1
    rested += [said(npm.put(Pack(pack.name, version))) for version in ("1.1.0", "1.0.0")]
    burned = "403 You cannot publish over the previously published versions: 1.0.0."
    present = "409 this package is already present"
    statuses = documented("403, 403, 200, 403", verdaccio=Instead("201, 201, 409, 409", forgets))
    wanted = [resting, burned, "200", burned] if statuses.startswith("403") else ["201", "201", present, present]
    assert [words.replace(pack.name, "NAME") for words in rested] == wanted
    assert ", ".join(words[:3] for words in rested) == statuses
    tags = npm.packument(pack.name)["dist-tags"]
    assert tags == documented({"latest": "1.1.0"}, verdaccio=Instead({"latest": "1.0.0"}, forgets))


# lag


def test_lag(npm: Served, documented: Documented) -> None:
    """A packument shows a version some seconds after its publication; absence is no failure"""
    pack = npm.new()
    npm.put(Pack(pack.name, "0.9.0"))
    npm.setting.lag(20)
    npm.publish(pack)
    at_once = "it shows a version at once"
    assert npm.seen(pack) == documented("no version", verdaccio=Instead("ours", at_once))
    assert npm.packument(pack.name)["dist-tags"] == documented(
        {"latest": "0.9.0"}, verdaccio=Instead({"latest": "1.0.0"}, at_once)
    )
    assert npm.get(f"/{pack.name}/1.0.0").status_code == documented(404, verdaccio=Instead(200, at_once))
    assert npm.get(f"/{pack.name}/-/{pack.base}").content == pack.content
    assert npm.put(pack).status_code == documented(
        403, verdaccio=Instead(409, "its status for a version that is there")
    )
    npm.setting.clock += 19.75
    assert npm.seen(pack) == documented("no version", verdaccio=Instead("ours", at_once))
    npm.setting.clock += 0.25
    assert npm.seen(pack) == "ours"
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "1.0.0"}


def test_lag_of_a_new_package(npm: Served, documented: Documented) -> None:
    """A package that is new is absent until its first version shows"""
    pack = npm.new()
    npm.setting.lag(20)
    npm.publish(pack)
    assert npm.seen(pack) == documented("no package", verdaccio=Instead("ours", "it shows a version at once"))
    npm.setting.clock += 20
    assert npm.seen(pack) == "ours"
