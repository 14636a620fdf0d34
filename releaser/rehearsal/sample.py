"""A small project that ships one version through many channels, with its artifacts, made from nothing.

``ternlet`` is native code (wheels for three platforms and a crate), ``tern`` the Python package that needs it,
``@harbor/tern`` a client on npm, and ``tern`` a command for Homebrew, Scoop and Chocolatey. All files are the same
bytes in every run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from releaser.model.spelling import Ecosystem, spell
from releaser.model.version import Phase, Version
from releaser.rehearsal.gitrepo import Person
from releaser.rehearsal.world import World

REPOSITORY = "harbor/tern"
TAP = "harbor/homebrew-tap"
BUCKET = "harbor/scoop-bucket"
OWNER_ID = 9100
REPOSITORY_ID = 9101
WORKFLOW = "release-publish.yml"
PEOPLE = {"tagger": 501, "reviewer-one": 502, "reviewer-two": 503}
TAGGER = Person("tagger", f"{PEOPLE['tagger']}+tagger@users.noreply.github.com", "2026-01-05T10:00:00Z")
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64")
BINARIES = ("tern_Darwin_arm64", "tern_Darwin_x86_64", "tern_Linux_arm64", "tern_Linux_x86_64")
WINDOWS = "tern_Windows_x86_64.zip"

POLICY_FILE = ".github/releaser.toml"
POLICY = """\
[version]
source = "crates/Cargo.toml"
lockstep = ["crates/Cargo.lock", "pyproject.toml", "package.json", "VERSION*"]

[channels.stable]
branches = ["main"]
[channels.prerelease]
branches = ["prerelease/*"]
[channels.dev]
branches = ["*"]
draft = false
publish = []

[checks]
required = ["ci-complete"]

[approval]
quorum = 2
approvers = ["team:harbor/maintainers"]

[artifacts.ternlet-wheels]
files = "ternlet-*.whl"
expect = ["manylinux*_x86_64", "manylinux*_aarch64", "macosx*_arm64"]
[artifacts.ternlet-crate]
files = "ternlet-*.crate"
[artifacts.sdk]
files = ["tern-*.whl", "tern-*.tar.gz"]
expect = ["*.whl", "*.tar.gz"]
[artifacts.client]
files = "harbor-tern-*.tgz"
[artifacts.cli]
files = "tern_*"
expect = ["tern_Darwin_arm64", "tern_Darwin_x86_64", "tern_Linux_arm64", "tern_Linux_x86_64", "tern_Windows_x86_64.zip"]

[publish.ternlet-pypi]
registry = "pypi"
package = "ternlet"
files = "ternlet-wheels"
environment = "release"
[publish.ternlet-crate]
registry = "crates.io"
package = "ternlet"
files = "ternlet-crate"
environment = "release"
[publish.sdk]
registry = "pypi"
package = "tern"
files = "sdk"
needs = "ternlet-pypi"
requires = "ternlet>={pep440},<{bound}"
environment = "release"
[publish.client]
registry = "npm"
package = "@harbor/tern"
files = "client"
environment = "release"

[downstream.homebrew]
kind = "homebrew-cask"
repository = "harbor/homebrew-tap"
via = "commit"
item = "tern"
description = "Small messages over long distances"
homepage = "https://tern.example.invalid/"
[downstream.homebrew.assets]
macos-arm64 = "tern_Darwin_arm64"
macos-x86_64 = "tern_Darwin_x86_64"
linux-arm64 = "tern_Linux_arm64"
linux-x86_64 = "tern_Linux_x86_64"

[downstream.scoop]
kind = "scoop"
repository = "harbor/scoop-bucket"
via = "commit"
item = "tern"
description = "Small messages over long distances"
homepage = "https://tern.example.invalid/"
license = "Apache-2.0"
[downstream.scoop.assets]
windows-x86_64 = "tern_Windows_x86_64.zip"

[downstream.chocolatey]
kind = "chocolatey"
repository = "https://packages.example.invalid/api/v2"
item = "tern"
description = "Small messages over long distances, from any terminal."
authors = "The harbor project"
homepage = "https://tern.example.invalid/"
tags = ["messages", "cli"]
[downstream.chocolatey.assets]
windows-x86_64 = "tern_Windows_x86_64.zip"
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The project in a world: checkout, artifacts, tag, and the environments of everyone who takes part."""

    version: Version
    tag: str
    checkout: Path
    artifacts: Path
    job: Mapping[str, str]
    reviewers: Mapping[str, Mapping[str, str]]


def settle(world: World, version: Version, *, proposing: bool = False) -> Sample:
    """Put the project, its people, its trusted publishers and the tag into *world*; raises nothing of its own.

    *proposing* lets its package managers be updated by pull request instead of by commit.
    """
    world.github.add_repository(REPOSITORY, REPOSITORY_ID, OWNER_ID)
    git = world.github.repository(REPOSITORY).git
    for number, name in enumerate((TAP, BUCKET), REPOSITORY_ID + 1):
        world.github.add_repository(name, number, OWNER_ID)
    tokens = {login: world.github.add_user(login, number) for login, number in PEOPLE.items()}
    world.github.add_team("harbor/maintainers", list(PEOPLE))
    for login in PEOPLE:
        world.github.grant(login, REPOSITORY, "maintain")
    bot = world.github.add_user("tap-bot", 599)
    for name in (TAP, BUCKET):
        world.github.grant("tap-bot", name, "write")
    _trust(world)
    checkout = world.root / "checkout"
    tag = f"v{version}"
    files = sources(version)
    if proposing:
        files[POLICY_FILE] = files[POLICY_FILE].replace('via = "commit"', 'via = "pull-request"')
    commit = git.begin("main", files, f"tern {version}\n", TAGGER, tag)
    branches = []
    if version.is_prerelease and version.phase is not Phase.DEV:
        branches.append(f"prerelease/{version.core}")
        git.move(f"refs/heads/{branches[0]}", commit, None)
    _clone(git.path, checkout, *branches)
    world.github.set_check(REPOSITORY, commit, "ci-complete", "success")
    for name in (TAP, BUCKET):
        tap = world.github.repository(name).git
        tap.begin("main", {"README.md": f"# {name.partition('/')[2]}\n"}, "a tap\n", TAGGER)
    artifacts = world.root / "dist"
    build(version, artifacts)
    job = world.job(world.github.add_actions_token(REPOSITORY), "tagger", PEOPLE["tagger"])
    return Sample(
        version=version,
        tag=tag,
        checkout=checkout,
        artifacts=artifacts,
        job={
            **job,
            "GITHUB_REPOSITORY": REPOSITORY,
            "RELEASER_TAP_TOKEN": bot,
            "CHOCOLATEY_API_KEY": world.chocolatey.api_key,
        },
        reviewers={
            login: {**world.person(token), "GITHUB_REPOSITORY": REPOSITORY}
            for login, token in tokens.items()
            if login != "tagger"
        },
    )


def _trust(world: World) -> None:
    for package in ("ternlet", "tern"):
        world.pypi.add_package(package)
    world.crates.add_package("ternlet")
    world.npm.add_package("@harbor/tern")
    world.oidc.claims |= {
        "repository": REPOSITORY,
        "repository_id": str(REPOSITORY_ID),
        "repository_owner": REPOSITORY.partition("/")[0],
        "repository_owner_id": str(OWNER_ID),
        "workflow_ref": f"{REPOSITORY}/.github/workflows/{WORKFLOW}@refs/heads/main",
        "job_workflow_ref": f"{REPOSITORY}/.github/workflows/{WORKFLOW}@refs/heads/main",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "environment": "release",
        "event_name": "workflow_dispatch",
        "actor": "tagger",
        "actor_id": str(PEOPLE["tagger"]),
    }
    owner = str(OWNER_ID)
    for package in ("ternlet", "tern"):
        world.pypi.trust(package, REPOSITORY, WORKFLOW, "release", owner)
    world.crates.trust("ternlet", REPOSITORY, WORKFLOW, "release", owner)
    world.npm.trust("@harbor/tern", REPOSITORY, WORKFLOW, "release", owner)


# -- the repository -----------------------------------------------------------------------------------------------


def sources(version: Version) -> dict[str, str]:
    """The files of the project's repository, by path."""
    python = _python(version)
    return {
        POLICY_FILE: POLICY.replace("{bound}", _bound(version)),
        "VERSION.txt": f"{version}\n",
        "crates/Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["ternlet"]\n\n'
        f'[workspace.package]\nversion = "{version}"\n',
        "crates/ternlet/Cargo.toml": '[package]\nname = "ternlet"\nversion.workspace = true\nedition = "2021"\n'
        'license = "Apache-2.0"\ndescription = "The native half of tern"\n',
        "crates/ternlet/src/lib.rs": _RUST,
        "crates/Cargo.lock": f'version = 4\n\n[[package]]\nname = "ternlet"\nversion = "{version}"\n',
        "pyproject.toml": '[project]\nname = "tern"\n'
        f'version = "{python}"\ndependencies = ["ternlet>={python},<{_bound(version)}"]\n',
        "package.json": json.dumps({"name": "@harbor/tern", "version": str(version)}, indent=2) + "\n",
    }


def _python(version: Version) -> str:
    return spell(version, Ecosystem.PEP440)


def _bound(version: Version) -> str:
    """The first version that a dependant of this one does not accept."""
    return f"{version.major + 1}.0"


def _clone(bare: Path, checkout: Path, *branches: str) -> None:
    """The developer's copy of the repository, with *branches* of theirs."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(checkout.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    commands = [["clone", "--quiet", "--template=", str(bare), str(checkout)]]
    commands += [["-C", str(checkout), "branch", branch] for branch in branches]
    for command in commands:
        subprocess.run(["git", *command], env=environment, check=True, capture_output=True)


# -- the artifacts ------------------------------------------------------------------------------------------------

_RUST = "/// How far a tern flies in a year, in kilometres.\npub const YEARLY: u32 = 70_900;\n"


def build(version: Version, folder: Path) -> None:
    """Write every artifact of *version* into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    python, text = _python(version), str(version)
    for platform in PLATFORMS:
        tag = f"py3-none-{platform}"
        body = {"ternlet/__init__.py": f'PLATFORM = "{platform}"\n'}
        (folder / f"ternlet-{python}-{tag}.whl").write_bytes(_wheel("ternlet", python, tag, body))
    body = {"tern/__init__.py": "import ternlet\n\nPLATFORM = ternlet.PLATFORM\n"}
    needs = (f"ternlet>={python},<{_bound(version)}",)
    (folder / f"tern-{python}-py3-none-any.whl").write_bytes(_wheel("tern", python, "py3-none-any", body, needs))
    project = (
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "tern"\nversion = "{python}"\ndependencies = {json.dumps(list(needs))}\n'
    )
    (folder / f"tern-{python}.tar.gz").write_bytes(
        _tarball(f"tern-{python}", {"PKG-INFO": _metadata("tern", python, needs), "pyproject.toml": project, **body})
    )
    (folder / f"ternlet-{text}.crate").write_bytes(
        _tarball(f"ternlet-{text}", {"Cargo.toml": _cargo(text), "src/lib.rs": _RUST})
    )
    client = {
        "name": "@harbor/tern",
        "version": text,
        "description": "A client for tern",
        "license": "Apache-2.0",
        "main": "index.js",
    }
    (folder / f"harbor-tern-{text}.tgz").write_bytes(
        _tarball("package", {"package.json": json.dumps(client), "index.js": f'module.exports = "{text}";\n'})
    )
    for name in BINARIES:
        (folder / name).write_text(f"#!/bin/sh\necho tern {text} {name}\n")
    (folder / WINDOWS).write_bytes(_zip({"tern.exe": f"@echo tern {text} {WINDOWS}\r\n"}))


def _cargo(version: str) -> str:
    return (
        f'[package]\nedition = "2021"\nname = "ternlet"\nversion = "{version}"\n'
        'description = "The native half of tern"\nlicense = "Apache-2.0"\n\n'
        '[lib]\nname = "ternlet"\npath = "src/lib.rs"\n'
    )


def _metadata(name: str, version: str, requires: tuple[str, ...]) -> str:
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    return (
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: {name} of the rehearsal\n"
        f"License-Expression: Apache-2.0\nRequires-Python: >=3.9\n{needs}"
    )


def _wheel(name: str, version: str, tag: str, files: Mapping[str, str], requires: tuple[str, ...] = ()) -> bytes:
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": _metadata(name, version, requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: rehearsal\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},sha256={_urlsafe(text)},{len(text.encode())}\n" for path, text in content.items())
    content[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    return _zip(content)


def _zip(files: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _tarball(top: str, files: Mapping[str, str]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)
