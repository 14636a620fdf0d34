"""After a rehearsal release, the clients that people use get from the world exactly what was approved."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from releaser.faces.commands.rehearse import install_commands
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest
from releaser.model.version import Version
from releaser.rehearsal import sample
from releaser.rehearsal.world import World
from tests.e2e.clients import Cargo, Git, Npm, Pip, cask_digests, rustup_home
from tests.e2e.commands import environment, release, run


@dataclass(frozen=True)
class Released:
    """A world in which 0.9.0 of the sample project is out."""

    world: World
    project: sample.Sample

    def sha256(self, name: str) -> str:
        """The digest of an artifact as it was built."""
        return hashlib.sha256((self.project.artifacts / name).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    with World(tmp_path_factory.mktemp("world")) as world:
        world.lag(0.2)
        project = sample.settle(world, Version.parse("0.9.0"))
        release(project)
        yield Released(world, project)


def public_asset(released: Released, name: str) -> bytes:
    """A file of the public release, fetched as anybody can."""
    url = f"{released.world.github.url}/{sample.REPOSITORY}/releases/download/{released.project.tag}/{name}"
    return httpx.get(url, follow_redirects=True, trust_env=False).raise_for_status().content


@pytest.mark.clients
def test_pip_installs_the_package_and_the_native_half_it_needs(released: Released, tmp_path: Path) -> None:
    pip = Pip(released.world, tmp_path)
    pip.install("tern==0.9.0")
    assert pip.python("-c", "import tern; print(tern.PLATFORM)").strip() in sample.PLATFORMS


@pytest.mark.clients
def test_pip_finds_no_wheel_of_another_version(released: Released, tmp_path: Path) -> None:
    pip = Pip(released.world, tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"No matching distribution found for tern==0\.8"):
        pip.install("tern==0.8.*")


@pytest.mark.clients("cargo")
def test_cargo_builds_a_program_with_the_crate(released: Released, tmp_path: Path) -> None:
    cargo = Cargo(released.world.crates.index, tmp_path)
    cargo.add("ternlet@=0.9.0")
    assert cargo.prints('println!("{}", ternlet::YEARLY);') == "70900\n"
    assert cargo.checksum("ternlet") == released.sha256("ternlet-0.9.0.crate")


@pytest.mark.clients("npm", "node")
def test_npm_installs_the_client(released: Released, tmp_path: Path) -> None:
    npm = Npm(released.world.npm.url, tmp_path)
    npm.install("@harbor/tern@0.9.0")
    assert npm.node("console.log(require('@harbor/tern'))") == "0.9.0\n"


@pytest.mark.clients("git")
def test_the_tap_offers_every_program_under_its_own_digest(released: Released, tmp_path: Path) -> None:
    clone = Git(tmp_path).clone(f"{released.world.github.url}/{sample.TAP}.git")
    cask = (clone / "Casks" / "tern.rb").read_text()
    assert 'version "0.9.0"' in cask
    assert set(cask_digests(cask)) == {released.sha256(name) for name in sample.BINARIES}
    for name in sample.BINARIES:
        assert hashlib.sha256(public_asset(released, name)).hexdigest() == released.sha256(name)


@pytest.mark.clients("sha256sum")
def test_the_public_files_match_the_checksum_file(released: Released, tmp_path: Path) -> None:
    manifest = Manifest.parse(public_asset(released, ASSET), ASSET)
    names = [ASSET, *(artifact.name for artifact in manifest.artifacts)]
    for name in (*names, CHECKSUMS):
        (tmp_path / name).write_bytes(public_asset(released, name))
    given = environment(tmp_path / "home", {"LC_ALL": "C"})
    checked = run("sha256sum", "--check", "--strict", CHECKSUMS, folder=tmp_path, given=given)
    assert sorted(checked.splitlines()) == sorted(f"{name}: OK" for name in names)


@pytest.mark.clients("cargo", "npm", "git")
def test_the_install_commands_that_a_rehearsal_prints_can_be_typed(released: Released, tmp_path: Path) -> None:
    given = environment(tmp_path / "home", {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_audit": "false"})
    given |= {"CARGO_HOME": str(tmp_path / "cargo-home"), "RUSTUP_HOME": rustup_home()}
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"), folder=tmp_path, given=given)
    run("cargo", "init", "--quiet", "--vcs", "none", "--name", "program", folder=tmp_path, given=given)
    given["PATH"] = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{given['PATH']}"
    typed = [*install_commands(released.world, released.project), "cargo build --quiet"]
    run("sh", "-ec", "\n".join(typed), folder=tmp_path, given=given)
    assert "ternlet" in (tmp_path / "Cargo.lock").read_text()
    assert (tmp_path / "node_modules" / "@harbor" / "tern").is_dir()
    assert (tmp_path / "homebrew-tap" / "Casks" / "tern.rb").is_file()
    run("python", "-c", "import tern", folder=tmp_path, given=given)
