"""npm itself, unmodified, against the registries: what it publishes, installs, proves and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from releaser.rehearsal.npm_stage import STAGE
from tests.contracts.npm_registries import VERDACCIO, Pack, Served, escaped, fixtures
from tests.contracts.table import REHEARSAL, Documented, Instead
from tests.e2e.clients import Npm

TITLE = "npm's own client"

pytestmark = pytest.mark.clients("npm>=11.15", "node")

NO_EXCHANGE = "it has no trusted publishing; npm goes on without a token, and says nothing of it"
NO_STAGE = "it has no staged publishing"

server, npm = fixtures(REHEARSAL, VERDACCIO)


def owner(npm: Served, folder: Path) -> Npm:
    """npm of the person who owns every package."""
    return Npm(npm.url, folder, npm.token)


def job(npm: Served, folder: Path) -> Npm:
    """npm in a job that has an identity and no token."""
    identity = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": npm.issuer.request_url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": npm.issuer.request_token,
    }
    return Npm(npm.url, folder, job=identity)


def packed(pack: Pack, folder: Path) -> str:
    """The path of *pack* as a file, as npm wants it."""
    (folder / pack.base).write_bytes(pack.content)
    return f"./{pack.base}"


@pytest.mark.parametrize("scope", ["", "@acme/"], ids=["unscoped", "scoped"])
def test_publish(npm: Served, tmp_path: Path, scope: str) -> None:
    """`npm publish file.tgz` publishes the file's bytes with a token; `npm view` shows their digests"""
    pack = npm.new(scope=scope)
    client = owner(npm, tmp_path)
    client.run("publish", packed(pack, tmp_path))
    dist = json.loads(client.run("view", pack.name, "dist", "--json"))
    assert (dist["integrity"], dist["shasum"]) == (pack.integrity, pack.shasum)
    assert pack.artifact.matches(npm.adapter.observe(pack.name, "1.0.0").files[pack.base])
    assert npm.http.get(dist["tarball"]).content == pack.content


def test_publish_again(npm: Served, tmp_path: Path) -> None:
    """`npm publish` of a version that is there stops with `cannot publish over`"""
    pack = npm.new()
    npm.publish(pack)
    said = owner(npm, tmp_path).fails("publish", packed(Pack(pack.name, note="other"), tmp_path))
    assert "cannot publish over the previously published versions: 1.0.0" in said


def test_publish_by_force(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm publish --force` of a version that is there is refused by the registry"""
    pack = npm.new()
    npm.publish(pack)
    said = owner(npm, tmp_path).fails("publish", "--force", packed(Pack(pack.name, note="other"), tmp_path))
    code = re.search(r"npm error code (\w+)", said)
    assert code is not None
    assert code[1] == documented("E403", verdaccio=Instead("E409", "a status of its own"))
    assert npm.seen(pack) == "ours"


def test_publish_with_another_token(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm publish` with a token that the registry does not know is E404"""
    pack = npm.new()
    said = Npm(npm.url, tmp_path, "npm_wrong").fails("publish", packed(pack, tmp_path))
    code = re.search(r"npm error code (\w+)", said)
    assert code is not None
    assert code[1] == documented("E404", verdaccio=Instead("E401", "an honest 401"))


def test_install(npm: Served, tmp_path: Path) -> None:
    """`npm install` gets the bytes that our adapter published, and locks their digest"""
    pack = npm.new(scope="@acme/", note="ours")
    npm.publish(pack)
    client = Npm(npm.url, tmp_path)
    client.install(pack.name)
    assert client.node(f"console.log(require('{pack.name}'))") == "ours\n"
    locked = json.loads((tmp_path / "package-lock.json").read_text())["packages"][f"node_modules/{pack.name}"]
    assert (locked["version"], locked["integrity"]) == ("1.0.0", pack.integrity)
    assert locked["resolved"] == f"{npm.url}/{pack.name}/-/{pack.base}"


def lock(npm: Served, pack: Pack, folder: Path, integrity: str) -> None:
    """A project in *folder* that is locked to *pack* with *integrity*."""
    about: dict[str, Any] = {"name": "site", "version": "1.0.0", "dependencies": {pack.name: "1.0.0"}}
    entry = {"version": "1.0.0", "resolved": f"{npm.url}/{pack.name}/-/{pack.base}", "integrity": integrity}
    packages = {"": about, f"node_modules/{pack.name}": entry}
    (folder / "package.json").write_text(json.dumps(about))
    (folder / "package-lock.json").write_text(json.dumps({**about, "lockfileVersion": 3, "packages": packages}))


def test_ci(npm: Served, tmp_path: Path) -> None:
    """`npm ci` installs what the lock names, by its digest"""
    pack = npm.new(note="ours")
    npm.publish(pack)
    lock(npm, pack, tmp_path, pack.integrity)
    client = Npm(npm.url, tmp_path)
    client.run("ci")
    assert client.node(f"console.log(require('{pack.name}'))") == "ours\n"


def test_ci_of_other_bytes(npm: Served, tmp_path: Path) -> None:
    """`npm ci` stops with EINTEGRITY when the lock names other bytes"""
    pack = npm.new()
    npm.publish(pack)
    lock(npm, pack, tmp_path, Pack(pack.name, note="other").integrity)
    said = Npm(npm.url, tmp_path).fails("ci")
    assert "npm error code EINTEGRITY" in said
    assert not (tmp_path / "node_modules" / pack.name / "index.js").exists()


def test_pack(npm: Served, tmp_path: Path) -> None:
    """`npm pack name@version` fetches the very file that was published"""
    pack = npm.new(scope="@acme/")
    npm.publish(pack)
    file = Npm(npm.url, tmp_path).run("pack", f"{pack.name}@1.0.0").strip()
    assert (tmp_path / file).read_bytes() == pack.content


def test_tags(npm: Served, tmp_path: Path) -> None:
    """A pre-release goes out under its tag; `npm dist-tag ls` shows it, and `npm view` the final version"""
    name = npm.new().name
    npm.publish(Pack(name))
    client = owner(npm, tmp_path)
    candidate = packed(Pack(name, "2.0.0-rc.1"), tmp_path)
    assert "You must specify a tag" in client.fails("publish", candidate)
    client.run("publish", "--tag", "rc", candidate)
    assert client.run("dist-tag", "ls", name) == "latest: 1.0.0\nrc: 2.0.0-rc.1\n"
    assert client.run("view", name, "version") == "1.0.0\n"
    assert client.run("dist-tag", "add", f"{name}@2.0.0-rc.1", "next").startswith(f"+next: {name}@2.0.0-rc.1")
    assert npm.packument(name)["dist-tags"] == {"latest": "1.0.0", "rc": "2.0.0-rc.1", "next": "2.0.0-rc.1"}


def test_unpublish(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm unpublish` removes a version, which the registry never takes again"""
    pack, gone = npm.new(scope="@acme/"), "1.1.0"
    for version in ("1.0.0", gone):
        npm.publish(Pack(pack.name, version))
    client = owner(npm, tmp_path)
    client.run("unpublish", "--force", f"{pack.name}@{gone}")
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "1.0.0"}
    assert npm.get(f"/{escaped(pack.name)}/{gone}").status_code == 404
    assert npm.put(Pack(pack.name, gone)).status_code == documented(
        403, verdaccio=Instead(201, "it forgets what was unpublished")
    )


def test_trusted_publishing(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm publish` in a trusted job publishes by the job's identity"""
    pack = npm.new("1.1.0", scope="@acme/")
    npm.publish(Pack(pack.name))
    npm.setting.trust(pack.name)
    client, file = job(npm, tmp_path), packed(pack, tmp_path)
    if documented("published", verdaccio=Instead("ENEEDAUTH", NO_EXCHANGE)) == "published":
        assert client.run("publish", file) == f"+ {pack.name}@1.1.0\n"
    else:
        assert "npm error code ENEEDAUTH" in client.fails("publish", file)
    assert npm.seen(pack) == documented("ours", verdaccio=Instead("no version", NO_EXCHANGE))


def test_untrusted(npm: Served, tmp_path: Path) -> None:
    """`npm publish` in a job that nobody trusts hides why: ENEEDAUTH"""
    pack = npm.new("1.1.0")
    npm.publish(Pack(pack.name))
    npm.setting.trust(pack.name, repository="acme/other")
    assert "npm error code ENEEDAUTH" in job(npm, tmp_path).fails("publish", packed(pack, tmp_path))


def test_stage(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm stage` publishes to the staging area from a job, and a person looks at it and approves it"""
    pack = npm.new("1.1.0", scope="@acme/")
    npm.publish(Pack(pack.name))
    npm.setting.trust(pack.name, permissions=frozenset({STAGE}))
    folders = tmp_path / "job", tmp_path / "person"
    for folder in folders:
        folder.mkdir()
    staging, person = job(npm, folders[0]), owner(npm, folders[1])
    if documented("staged", verdaccio=Instead("ENEEDAUTH", NO_STAGE)) == "ENEEDAUTH":
        assert "ENEEDAUTH" in staging.fails("stage", "publish", packed(pack, folders[0]))
        assert "npm error code E404" in person.fails("stage", "list")
        return
    said = staging.run("stage", "publish", packed(pack, folders[0]))
    found = re.search(r"staged with id ([0-9a-f-]{36})", said)
    assert found is not None
    (item,) = json.loads(person.run("stage", "list", pack.name, "--json"))
    assert (item["id"], item["shasum"], item["actor"]) == (found[1], pack.shasum, "GitHub Actions")
    person.run("stage", "download", found[1])
    (file,) = folders[1].glob("*.tgz")
    assert file.read_bytes() == pack.content
    assert "npm error code EOTP" in person.fails("stage", "approve", found[1])
    person.run("stage", "approve", found[1], "--otp", npm.otp)
    assert person.run("view", pack.name, "version") == "1.1.0\n"


def test_stage_reject(npm: Served, tmp_path: Path, documented: Documented) -> None:
    """`npm stage reject` removes what was staged"""
    pack = npm.new("1.1.0")
    npm.publish(Pack(pack.name))
    person = owner(npm, tmp_path)
    if documented("staged", verdaccio=Instead("E404", NO_STAGE)) == "E404":
        assert "npm error code E404" in person.fails("stage", "publish", packed(pack, tmp_path))
        return
    found = re.search(r"staged with id ([0-9a-f-]{36})", person.run("stage", "publish", packed(pack, tmp_path)))
    assert found is not None
    person.run("stage", "reject", found[1], "--otp", npm.otp)
    assert "npm error code E404" in person.fails("stage", "view", found[1])
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "1.0.0"}
