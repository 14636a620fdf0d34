"""git itself, unmodified, against the rehearsal's GitHub: what it clones, lists, pushes and fetches, and may not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from releaser.rehearsal.github import GitHub
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Faults, Journal
from tests.contracts.table import REHEARSAL, columns
from tests.e2e.clients import Git

TITLE = "GitHub: git's own client"

client = pytest.mark.clients("git")

REPOSITORY = "acme/widget"
SOMEBODY = Person("Somebody", "somebody@example.invalid", "2026-01-01T00:00:00Z")


@dataclass
class Forge:
    """A forge with one repository of one commit: ``octo`` writes to it, ``eve`` is a stranger."""

    github: GitHub
    repository: BareRepository
    tokens: dict[str, str] = field(default_factory=dict)

    def address(self, by: str = "", repository: str = f"{REPOSITORY}.git") -> str:
        login = f"x-access-token:{self.tokens[by]}@" if by else ""
        return f"http://{login}{urlsplit(self.github.url).netloc}/{repository}"

    def answer(self, path: str, by: str = "") -> httpx.Response:
        """What the forge says to git's first question about a repository."""
        given = httpx.BasicAuth("x-access-token", self.tokens[by]) if by else None
        return httpx.get(f"{self.github.url}/{path}", auth=given, trust_env=False)


@pytest.fixture(params=columns(REHEARSAL))
def forge(tmp_path: Path) -> Iterator[Forge]:
    github = GitHub(tmp_path / "github", Journal(), Faults())
    github.start()
    repository = BareRepository(github.add_repository(REPOSITORY, 1001, 501))
    tree = repository.write_tree(None, [("README", "100644", repository.write_blob(b"widget\n"))])
    assert repository.move("refs/heads/main", repository.write_commit(tree, [], "first", SOMEBODY, SOMEBODY), None)
    forge = Forge(github, repository, {"octo": github.add_user("octo", 601), "eve": github.add_user("eve", 666)})
    github.grant("octo", REPOSITORY, "write")
    yield forge
    github.stop()


@pytest.fixture
def git(tmp_path: Path) -> Git:
    (tmp_path / "git").mkdir()
    return Git(tmp_path / "git")


@pytest.mark.parametrize("repository", [f"{REPOSITORY}.git", REPOSITORY])
@client
def test_clone(forge: Forge, git: Git, repository: str) -> None:
    """`git clone` gets the repository, with or without `.git` in its address"""
    clone = git.clone(forge.address(repository=repository))

    assert (clone / "README").read_text() == "widget\n"
    assert git.run("-C", "clone", "rev-parse", "HEAD").strip() == forge.repository.commit_of("main")


@client
def test_ls_remote(forge: Forge, git: Git) -> None:
    """`git ls-remote` lists branches, and tags with the commits that they name"""
    commit = forge.repository.commit_of("main") or ""
    tag = forge.repository.write_tag("v1.0.0", commit, "commit", "one\n", SOMEBODY)
    forge.repository.move("refs/tags/v1.0.0", tag, None)

    listed = [line.split("\t") for line in git.run("ls-remote", forge.address()).splitlines()]

    tagged = [[tag, "refs/tags/v1.0.0"], [commit, "refs/tags/v1.0.0^{}"]]
    assert listed == [[commit, "HEAD"], [commit, "refs/heads/main"], *tagged]


@pytest.mark.parametrize("repository", [f"{REPOSITORY}.git", REPOSITORY])
@client
def test_push(forge: Forge, git: Git, repository: str) -> None:
    """`git push` puts a branch and a tag where the API shows them, large files too"""
    clone = git.clone(forge.address(repository=repository))
    (clone / "large.bin").write_bytes(os.urandom(2 << 20))  # beyond http.postBuffer: sent in chunks
    git.run("-C", "clone", "add", ".")
    git.run("-C", "clone", "commit", "-m", "second")
    git.run("-C", "clone", "tag", "-a", "v1.0.0", "-m", "one")

    git.run("-C", "clone", "push", forge.address("octo", repository), "HEAD:main", "v1.0.0")

    head = git.run("-C", "clone", "rev-parse", "HEAD").strip()
    api = f"{forge.github.url}/repos/{REPOSITORY}/git"
    shown = httpx.get(f"{api}/ref/heads/main", trust_env=False).json()["object"]
    assert shown == {"sha": head, "type": "commit", "url": f"{api}/commits/{head}"}
    tagged = httpx.get(f"{api}/ref/tags/v1.0.0", trust_env=False).json()["object"]
    assert (tagged["sha"], tagged["type"]) == (git.run("-C", "clone", "rev-parse", "v1.0.0").strip(), "tag")


@client
def test_fetch_tag(forge: Forge, git: Git) -> None:
    """`git fetch` of a tag gets exactly that tag, into a shallow clone too"""
    clone = git.clone(f"{forge.address()}", "--depth=1", "--no-tags")
    commit = forge.repository.commit_of("main") or ""
    for name in ("v1.0.0", "v2.0.0"):
        tag = forge.repository.write_tag(name, commit, "commit", f"{name}\n", SOMEBODY)
        forge.repository.move(f"refs/tags/{name}", tag, None)

    git.run("-C", "clone", "fetch", "--no-tags", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0")

    assert git.run("-C", str(clone), "tag", "--format=%(refname:short) %(object)").split() == ["v1.0.0", commit]


@pytest.mark.parametrize(
    ("by", "complaint"),
    [("", "could not read Username"), ("eve", "Permission to acme/widget.git denied to eve.")],
    ids=["nobody", "a stranger"],
)
@client
def test_push_denied(forge: Forge, git: Git, by: str, complaint: str) -> None:
    """`git push` needs the right to write: whoever says nothing is asked, a stranger is denied"""
    git.clone(forge.address())
    before = forge.repository.refs()

    said = git.fails("-C", "clone", "push", forge.address(by), "HEAD:refs/heads/evil")

    assert complaint in said
    assert forge.repository.refs() == before


@pytest.mark.parametrize(
    ("by", "complaint"),
    [("", "could not read Username"), ("eve", "Repository not found.")],
    ids=["nobody", "a stranger"],
)
@client
def test_private(forge: Forge, git: Git, by: str, complaint: str) -> None:
    """`git clone` of a private repository is for those who may read it; for others it does not exist"""
    forge.github.add_repository("acme/secret", 1003, 501, private=True)
    forge.github.grant("octo", "acme/secret", "read")

    said = git.fails("clone", forge.address(by, "acme/secret.git"), "clone")
    git.run("clone", forge.address("octo", "acme/secret.git"), "secret")

    assert complaint in said


@pytest.mark.parametrize(
    ("repository", "service", "by", "status", "body"),
    [
        (REPOSITORY, "git-upload-pack", "", 200, ""),
        (REPOSITORY, "git-receive-pack", "octo", 200, ""),
        (REPOSITORY, "git-receive-pack", "", 401, "Authentication required\n"),
        (REPOSITORY, "git-receive-pack", "eve", 403, "Permission to acme/widget.git denied to eve.\n"),
        ("acme/secret", "git-upload-pack", "", 401, "Authentication required\n"),
        ("acme/secret", "git-upload-pack", "eve", 404, "Repository not found.\n"),
        ("acme/secret", "git-upload-pack", "octo", 200, ""),
        ("acme/nothing", "git-upload-pack", "octo", 404, "Repository not found.\n"),
    ],
)
def test_first_question(forge: Forge, repository: str, service: str, by: str, status: int, body: str) -> None:
    """git's first question is answered with the refs, with a challenge, or with why not"""
    forge.github.add_repository("acme/secret", 1003, 501, private=True)
    forge.github.grant("octo", "acme/secret", "read")

    answer = forge.answer(f"{repository}.git/info/refs?service={service}", by)

    assert answer.status_code == status
    advertised = f"application/x-{service}-advertisement"
    assert answer.headers["content-type"] == (advertised if status == 200 else "text/plain")
    assert answer.text == body or (status == 200 and f"# service={service}\n" in answer.text)
    assert answer.headers.get("www-authenticate") == ('Basic realm="GitHub"' if status == 401 else None)
