"""A release on stage: the rehearsal world with the sample project in it, and the command line that acts upon it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from releaser.adapters.crates import Crates
from releaser.adapters.endpoints import from_world
from releaser.adapters.github import GitHub
from releaser.adapters.http import Client
from releaser.adapters.npm import Npm
from releaser.adapters.pypi import PyPI
from releaser.engine.ports import Credential, Registry, Sent
from releaser.faces.cli import main
from releaser.inspect.files import inspect
from releaser.model.document import sha256
from releaser.model.manifest import PlannedPublication
from releaser.model.version import Version
from releaser.rehearsal import sample
from releaser.rehearsal.server import Call
from releaser.rehearsal.world import World

NO_EFFECT = frozenset({"github.git-fetch", "pypi.mint-token", "crates.exchange", "crates.revoke", "npm.exchange"})
"""Requests that are no reads and change nothing that anybody else can see."""
KEPT = frozenset({"PATH", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTHONPATH"})
QUICK = ("--poll", "0.01", "--settle", "0.5", "--wait", "10")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str, cwd: Path, environ: Mapping[str, str]) -> Ran:
    """A command of `releaser` in this process, with nothing of our own environment but the way to git."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in set(os.environ) - KEPT:
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


class Stage:
    """The world and the project of one version under *root*. A context manager."""

    def __init__(self, root: Path, version: str = "0.9.0") -> None:
        self.world = World(root / "world")
        self.project = sample.settle(self.world, Version.parse(version))
        self.people = dict(self.project.reviewers)
        self.home = root / "home"
        self.scratch = root / "scratch"
        self.home.mkdir()
        self.scratch.mkdir()

    def __enter__(self) -> Self:
        self.world.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.world.__exit__()

    # What there is

    @property
    def tag(self) -> str:
        return self.project.tag

    @property
    def dist(self) -> Path:
        return self.project.artifacts

    @property
    def checkout(self) -> Path:
        return self.project.checkout

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.jsonl"

    @property
    def digest(self) -> str:
        return sha256((self.dist / "release.json").read_bytes())

    def effects(self) -> list[Call]:
        """Every change that was made in the world, in order."""
        return [call for call in self.world.journal.writes() if call.operation not in NO_EFFECT]

    def kept(self) -> dict[str, str]:
        """What lies in the artifacts folder, at home and where scratch files go: kind, and digest of plain files."""
        found = {}
        for root in (self.dist, self.home, self.scratch):
            for path in sorted(root.rglob("*")):
                kind = stat.filemode(path.lstat().st_mode)
                plain = kind.startswith("-") and path.stat().st_size  # a ledger that records nothing is no record
                if plain or not kind.startswith("-"):
                    found[str(path.relative_to(root.parent))] = kind + (sha256(path.read_bytes()) if plain else "")
        return {path: what for path, what in found.items() if path not in ("home", "scratch")}

    # Acting

    def run(self, *arguments: str, by: str = "job", **environment: str) -> Ran:
        """A command in the checkout, as the job or as a person."""
        who = self.project.job if by == "job" else self.people[by]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(self.scratch))
            places = {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home)}
            return run(*arguments, cwd=self.checkout, environ={**places, **who, **environment})

    def plan(self, *arguments: str, **environment: str) -> Ran:
        return self.run("plan", self.tag, "--artifacts", str(self.dist), *arguments, **environment)

    def assemble(self, **environment: str) -> Ran:
        return self.run("assemble", self.tag, "--artifacts", str(self.dist), **environment)

    def draft(self) -> Self:
        """Assemble and draft."""
        succeed(self.assemble())
        succeed(self.run("draft", self.tag, "--artifacts", str(self.dist)))
        return self

    def approve(self, *logins: str) -> Self:
        for login in logins or tuple(self.project.reviewers):
            succeed(self.run("approve", self.tag, "--digest", self.digest, by=login))
        return self

    def publish(self, *arguments: str, **environment: str) -> Ran:
        return self.run("publish", self.tag, "--ledger", str(self.ledger), *QUICK, *arguments, **environment)

    def status(self) -> Any:
        return self.run("status", self.tag, "--format", "json").json()

    # Arranging

    def person(self, login: str, id: int, *, kind: str = "User", role: str = "maintain", member: bool = True) -> None:
        """Let *login* take part, with a token of their own."""
        token = self.world.github.add_user(login, id, kind)
        self.world.github.grant(login, sample.REPOSITORY, role)
        if member:
            self.world.github.add_team("harbor/maintainers", [*sample.PEOPLE, login])
        self.people[login] = {**self.world.person(token), "GITHUB_REPOSITORY": sample.REPOSITORY}

    def git(self, *arguments: str) -> str:
        """Run git in the checkout, as the project's tagger."""
        who = {f"GIT_{role}_NAME": "tagger" for role in ("AUTHOR", "COMMITTER")}
        who |= {f"GIT_{role}_EMAIL": "tagger@example.invalid" for role in ("AUTHOR", "COMMITTER")}
        plain = {"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.checkout, env={**plain, **who}, check=True, capture_output=True
        )
        return done.stdout.decode(errors="replace").strip()

    def commit(self, files: Mapping[str, str | None], branch: str = "main") -> None:
        """Commit *files* (None deletes) to *branch* and push it; the commit's check is green."""
        for path, text in files.items():
            if text is None:
                (self.checkout / path).unlink()
            else:
                (self.checkout / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        self.world.github.set_check(sample.REPOSITORY, self.git("rev-parse", "HEAD"), "ci-complete", "success")

    def retag(self) -> None:
        """Move the tag to the commit that is checked out, here and at the forge."""
        self.git("tag", "--force", "--annotate", "--message", "again", self.tag)
        self.git("push", "--quiet", "--force", "origin", f"refs/tags/{self.tag}")

    def text(self, path: str) -> str:
        return (self.checkout / path).read_text()

    @contextmanager
    def forge(self) -> Iterator[GitHub]:
        """The forge as the job sees it, to meddle with."""
        forge = GitHub(sample.REPOSITORY, self.project.job["GITHUB_TOKEN"], self.world.github.url)
        try:
            yield forge
        finally:
            forge.close()

    def swap(self, name: str, data: bytes) -> None:
        """Put *data* on the release under *name*, in place of what is there."""
        file = self.home / name
        file.write_bytes(data)
        with self.forge() as forge:
            (release,) = forge.releases(self.tag)
            for asset in release.assets:
                if asset.name == name:
                    forge.remove(asset)
            forge.upload(release, name, file, lambda _: None)
        file.unlink()

    def seed(self, registry: str, package: str, name: str, data: bytes) -> None:
        """Let somebody else have published *data* as *name*."""
        file = self.home / name
        file.write_bytes(data)
        client, endpoints = Client(), from_world(self.world.description).endpoints
        adapters: dict[str, Registry] = {
            "pypi": PyPI(endpoints, client),
            "crates.io": Crates(endpoints, client),
            "npm": Npm(endpoints, client),
        }
        secrets = {
            "pypi": self.world.pypi.user_token,
            "crates.io": self.world.crates.user_token,
            "npm": self.world.npm.user_token,
        }
        version = str(self.project.version)
        publication = PlannedPublication(
            id="seed", registry=registry, package=package, version=version, files=(name,), wave=1
        )
        right = Credential(secrets[registry], float("inf"))
        receipt = adapters[registry].publish(publication, inspect(file).artifact, file, right, lambda _: None)
        client.close()
        file.unlink()
        assert receipt.sent is Sent.ACCEPTED, receipt.detail

    def effects_of(self, operation: str) -> int:
        return len(self.world.journal.calls(operation))


def succeed(ran: Ran) -> Ran:
    assert ran.code == 0, ran.said
    return ran


def recompressed(path: Path) -> bytes:
    """The same content in other bytes."""
    return gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=1)


def rewheel(path: Path, old: str = "", new: str = "", extra: Mapping[str, str] | None = None) -> bytes:
    """A wheel with *old* replaced by *new* in its metadata, and with *extra* files; its RECORD is right."""
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name).decode() for name in wheel.namelist()}
    record = next(name for name in files if name.endswith("/RECORD"))
    metadata = record.replace("RECORD", "METADATA")
    assert old in files[metadata]
    files[metadata] = files[metadata].replace(old, new)
    content = {k: v for k, v in files.items() if k != record} | dict(extra or {})

    def line(name: str, text: str) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(text.encode())}\n"

    content[record] = "".join(line(*item) for item in content.items()) + f"{record},,\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()
