"""Real packages, through a whole release with the real commands, to the real clients: the same bytes at both ends.

Three repositories in one world, because one release has one version: Cog's shape at 0.17.0 with its real wheels and
source distribution, one whose artifact is the real crate itoa 1.0.15, one whose artifact is the real is-number 7.0.0.
The repositories hold recorded facts only: names, versions and where they are stated.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from releaser.model.policy import DEFAULT_PATH
from releaser.model.version import Version
from releaser.rehearsal.sample import BINARIES, PEOPLE, WORKFLOW, Sample
from releaser.rehearsal.world import World
from tests.e2e.clients import Cargo, Git, Npm, Pip, cask_digests
from tests.e2e.commands import ROOT, download, environment, release, run
from tests.places import DOWNLOADS

pytestmark = pytest.mark.downloads

OWNER_ID = 9200
COG, CRATE, PACKAGE, TAP = "replicate/cog", "replicate/itoa", "replicate/is-number", "replicate/homebrew-tap"
NUMBERS = {name: 9201 + index for index, name in enumerate((COG, CRATE, PACKAGE, TAP))}
PROGRAMS = tuple(name.replace("tern", "cog") for name in BINARIES)
WHEELS = (
    "coglet-0.17.0-*manylinux_2_17_x86_64*.whl",
    "coglet-0.17.0-*manylinux_2_17_aarch64*.whl",
    "coglet-0.17.0-*macosx_11_0_arm64.whl",
)
SDK = ("cog-0.17.0-*.whl", "cog-0.17.0.tar.gz")

COG_FILES = {
    "VERSION.txt": "0.17.0\n",
    "crates/Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["coglet", "coglet-python"]\n\n'
    '[workspace.package]\nversion = "0.17.0"\nedition = "2024"\n',
    "crates/coglet/Cargo.toml": '[package]\nname = "coglet"\nversion.workspace = true\n',
    "crates/coglet-python/Cargo.toml": '[package]\nname = "coglet-python"\nversion.workspace = true\n',
    "crates/Cargo.lock": 'version = 4\n\n[[package]]\nname = "coglet"\nversion = "0.17.0"\n\n'
    '[[package]]\nname = "coglet-python"\nversion = "0.17.0"\n',
    "pyproject.toml": '[build-system]\nrequires = ["setuptools", "setuptools-scm"]\n'
    'build-backend = "setuptools.build_meta"\n\n'
    '[project]\nname = "cog"\ndynamic = ["version"]\n\n[tool.setuptools_scm]\n',
}

SINGLE = """\
[version]
source = "{source}"

[channels.stable]
branches = ["main"]

[approval]
quorum = 2
approvers = ["team:replicate/maintainers"]

[artifacts.package]
files = "{file}"

[publish.package]
registry = "{registry}"
package = "{package}"
files = "package"
environment = "release"
"""


def cog_policy() -> str:
    """The policy of `policies/cog.toml`, less the crate: its bytes are not at hand, those of the wheels are."""
    text = (ROOT / "policies" / "cog.toml").read_text()
    tables = re.split(r"(?m)^(?=\[)", text)
    kept = [t for t in tables if not t.startswith(("[artifacts.coglet-crate]", "[publish.coglet-crate]"))]
    assert len(kept) == len(tables) - 2
    return "".join(kept)


@dataclass(frozen=True)
class Stage:
    """A world with the people and the tap that all three repositories share."""

    world: World
    people: Mapping[str, str]
    bot: str

    def release(self, repository: str, environment: str, files: Mapping[str, str], artifacts: Sequence[Path]) -> Sample:
        """Put *repository* into the world, tagged with the version in its name, and release *artifacts* from it."""
        name, _, version = repository.partition("@")
        world, root = self.world, self.world.root / name.partition("/")[2]
        bare = world.github.add_repository(name, NUMBERS[name], OWNER_ID)
        for login in PEOPLE:
            world.github.grant(login, name, "maintain")
        commit = committed(root / "checkout", files, bare, f"v{version}")
        world.github.set_check(name, commit, "ci-complete", "success")
        world.oidc.claims |= claims(name, environment)
        (root / "dist").mkdir()
        for artifact in artifacts:
            shutil.copy(artifact, root / "dist")
        job = world.job(world.github.add_actions_token(name), "tagger", PEOPLE["tagger"])
        project = Sample(
            version=Version.parse(version),
            tag=f"v{version}",
            checkout=root / "checkout",
            artifacts=root / "dist",
            job={**job, "GITHUB_REPOSITORY": name, "RELEASER_TAP_TOKEN": self.bot},
            reviewers={
                login: {**world.person(token), "GITHUB_REPOSITORY": name}
                for login, token in self.people.items()
                if login != "tagger"
            },
        )
        release(project)
        return project


def claims(repository: str, environment: str) -> dict[str, str | int]:
    """What the identity of *repository*'s publish job says."""
    workflow = f"{repository}/.github/workflows/{WORKFLOW}@refs/heads/main"
    return {
        "repository": repository,
        "repository_id": str(NUMBERS[repository]),
        "repository_owner": repository.partition("/")[0],
        "repository_owner_id": str(OWNER_ID),
        "workflow_ref": workflow,
        "job_workflow_ref": workflow,
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "environment": environment,
        "event_name": "workflow_dispatch",
    }


def committed(folder: Path, files: Mapping[str, str], bare: Path, *tags: str) -> str:
    """One commit with *files* on ``main`` of *bare*, and where it is; *tags* are lightweight, as Cog's are."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    who = {f"GIT_{role}_{part}": "tagger" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    given = environment(folder.parent / "home", {"GIT_CONFIG_NOSYSTEM": "1", **who})

    def git(*arguments: str) -> str:
        return run("git", *arguments, folder=folder, given=given).strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "--message", "a release")
    git("remote", "add", "origin", str(bare))
    for tag in tags:
        git("tag", tag)
    git("push", "--quiet", "origin", "main", *tags)
    return git("rev-parse", "HEAD")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with World(tmp_path_factory.mktemp("world")) as world:
        tap = world.github.add_repository(TAP, NUMBERS[TAP], OWNER_ID)
        committed(world.root / "tap", {"README.md": "# a tap\n"}, tap)
        people = {login: world.github.add_user(login, number) for login, number in PEOPLE.items()}
        world.github.add_team("replicate/maintainers", list(PEOPLE))
        bot = world.github.add_user("tap-bot", 599)
        world.github.grant("tap-bot", TAP, "write")
        yield Stage(world, people, bot)


@pytest.fixture(scope="module")
def cog(stage: Stage) -> Sample:
    """Cog 0.17.0, released: real wheels and source distribution, and small programs in place of its large ones."""
    artifacts = [download(pattern) for pattern in (*WHEELS, *SDK)]
    for name in PROGRAMS:
        (stage.world.root / name).write_text(f"#!/bin/sh\necho {name}\n")
        artifacts.append(stage.world.root / name)
    for package in ("coglet", "cog"):
        stage.world.pypi.add_package(package)
        stage.world.pypi.trust(package, COG, WORKFLOW, "pypi", str(OWNER_ID))
    return stage.release(f"{COG}@0.17.0", "pypi", {**COG_FILES, DEFAULT_PATH: cog_policy()}, artifacts)


@pytest.mark.clients
@pytest.mark.usefixtures("cog")
def test_pip_installs_cog_and_coglet_from_the_world(stage: Stage, tmp_path: Path) -> None:
    wheelhouse = DOWNLOADS / "wheelhouse"
    if not wheelhouse.is_dir():
        pytest.fail(f"there is no {wheelhouse}: run `make downloads`")
    pip, report = Pip(stage.world, tmp_path), tmp_path / "report.json"
    pip.install("cog==0.17.0", "--find-links", str(wheelhouse), "--report", str(report))
    pip.python("-c", "import cog, coglet")
    installed = {i["metadata"]["name"]: i["download_info"] for i in json.loads(report.read_bytes())["install"]}
    for name in ("cog", "coglet"):
        url = installed[name]["url"]
        assert url.startswith(stage.world.pypi.url)
        assert installed[name]["archive_info"]["hashes"]["sha256"] == sha256(download(url.rpartition("/")[2]))


def test_the_index_and_the_release_hold_every_file_as_it_was(stage: Stage, cog: Sample) -> None:
    listed: dict[str, str] = {}
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        for package in ("coglet", "cog"):
            accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
            page = client.get(f"{stage.world.pypi.url}/simple/{package}/", headers=accept).raise_for_status().json()
            listed |= {file["filename"]: file["hashes"]["sha256"] for file in page["files"]}
        originals = {file.name: sha256(file) for file in map(download, (*WHEELS, *SDK))}
        assert listed == originals
        for name, digest in originals.items():
            for url in (
                f"{stage.world.pypi.url}/files/{name}",
                f"{stage.world.github.url}/{COG}/releases/download/{cog.tag}/{name}",
            ):
                assert hashlib.sha256(client.get(url).raise_for_status().content).hexdigest() == digest


@pytest.mark.clients("git")
def test_the_tap_is_offered_a_cask_with_the_digests_of_the_programs(stage: Stage, cog: Sample, tmp_path: Path) -> None:
    clone = Git(tmp_path).clone(f"{stage.world.github.url}/{TAP}.git", "--branch", "releaser/cog-0.17.0")
    cask = (clone / "Casks" / "cog.rb").read_text()
    assert 'version "0.17.0"' in cask
    assert set(cask_digests(cask)) == {sha256(cog.artifacts / name) for name in PROGRAMS}


@pytest.mark.clients("cargo")
def test_cargo_builds_with_the_real_crate(stage: Stage, tmp_path: Path) -> None:
    crate = download("itoa-1.0.15.crate")
    stage.world.crates.add_package("itoa")
    stage.world.crates.trust("itoa", CRATE, WORKFLOW, "release", str(OWNER_ID))
    policy = SINGLE.format(source="Cargo.toml", file="itoa-{version}.crate", registry="crates.io", package="itoa")
    manifest = '[package]\nname = "itoa"\nversion = "1.0.15"\n'
    stage.release(f"{CRATE}@1.0.15", "release", {"Cargo.toml": manifest, DEFAULT_PATH: policy}, [crate])

    cargo = Cargo(stage.world.crates.index, tmp_path)
    cargo.add("itoa@=1.0.15")
    assert cargo.prints('print!("{}", itoa::Buffer::new().format(128u64));') == "128"
    assert cargo.checksum("itoa") == sha256(crate)


@pytest.mark.clients("npm", "node")
def test_npm_installs_the_real_package(stage: Stage, tmp_path: Path) -> None:
    package = download("is-number-7.0.0.tgz")
    stage.world.npm.add_package("is-number")
    stage.world.npm.trust("is-number", PACKAGE, WORKFLOW, "release", str(OWNER_ID))
    policy = SINGLE.format(source="package.json", file="is-number-{version}.tgz", registry="npm", package="is-number")
    manifest = json.dumps({"name": "is-number", "version": "7.0.0"})
    stage.release(f"{PACKAGE}@7.0.0", "release", {"package.json": manifest, DEFAULT_PATH: policy}, [package])

    npm = Npm(stage.world.npm.url, tmp_path)
    npm.install("is-number")
    assert npm.node("console.log(require('is-number')('7.0'), require('is-number')('seven'))") == "true false\n"
    locked = json.loads((tmp_path / "package-lock.json").read_bytes())["packages"]["node_modules/is-number"]
    sha512 = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    assert (locked["version"], locked["integrity"]) == ("7.0.0", f"sha512-{sha512}")
