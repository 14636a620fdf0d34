"""Taps: one file at a time in a repository on GitHub, and pull requests for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from releaser.adapters.github_tap import GitHubTap
from releaser.engine.ports import Tap
from releaser.errors import ConflictError, ExternalError
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Fault, Faults, Journal

REPOSITORY = "acme/homebrew-tap"
AUTHOR = Person("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")
PATH = "Formula/tool.rb"


@dataclass
class World:
    """A rehearsal with one tap, written to by the bot."""

    server: Rehearsal
    token: str
    opened: list[GitHubTap] = field(default_factory=list)

    @property
    def git(self) -> BareRepository:
        return self.server.repository(REPOSITORY).git

    def write(self, branch: str, path: str, content: bytes) -> str:
        tip = self.git.ref(f"refs/heads/{branch}")
        tree = self.git.write_tree(tip.sha if tip else None, [(path, "100644", self.git.write_blob(content))])
        commit = self.git.write_commit(tree, [tip.sha] if tip else [], "by hand", AUTHOR, AUTHOR)
        assert self.git.move(f"refs/heads/{branch}", commit, tip.sha if tip else None)
        return commit

    def read(self, branch: str, path: str) -> bytes | None:
        commit = self.git.commit_of(f"refs/heads/{branch}")
        entry = self.git.entry(commit, path) if commit else None
        return self.git.blob(entry.sha) if entry else None

    def tap(self, repository: str = REPOSITORY, transport: httpx.BaseTransport | None = None) -> GitHubTap:
        tap = GitHubTap(repository, self.token, self.server.url, sleep=lambda _: None, transport=transport)
        self.opened.append(tap)
        return tap


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    server = Rehearsal(tmp_path / "github", Journal(), Faults())
    world = World(server, server.add_user("tap-bot", 21))
    server.add_repository(REPOSITORY, 7, 70)
    server.grant("tap-bot", REPOSITORY, "write")
    world.write("main", "README.md", b"a tap\n")
    server.start()
    yield world
    for tap in world.opened:
        tap.close()
    server.stop()


@pytest.fixture
def tap(world: World) -> GitHubTap:
    return world.tap()


class Between(httpx.BaseTransport):
    """The network, with something that happens just before a request with *method* for a path with *part*."""

    def __init__(self, method: str, part: str, happens: Callable[[], object]) -> None:
        self._network = httpx.HTTPTransport()
        self._due = (method, part)
        self._happens = happens

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == self._due[0] and self._due[1] in request.url.path:
            self._happens()
        return self._network.handle_request(request)

    def close(self) -> None:
        self._network.close()


def test_files_and_folders_are_read(world: World, tap: GitHubTap) -> None:
    world.write("main", PATH, b"class Tool\n")
    world.write("main", "Formula/other.rb", b"class Other\n")
    assert tap.default_branch() == "main"
    assert tap.file(PATH, "main") == b"class Tool\n"
    assert tap.file("Formula", "main") == b"other.rb\ntool.rb\n"
    assert tap.file("", "main") == b"Formula\nREADME.md\n"
    assert tap.file("Casks", "main") is None
    assert tap.file(PATH, "no-such-branch") is None


def test_a_commit_changes_one_file_and_keeps_the_rest(world: World, tap: GitHubTap) -> None:
    before = world.git.commit_of("main")
    commit = tap.commit("main", PATH, b"class Tool\n", "tool 1.2.3")
    assert world.git.commit_of("main") == commit
    assert (world.read("main", PATH), world.read("main", "README.md")) == (b"class Tool\n", b"a tap\n")
    made = world.git.commit(commit)
    assert (made.message.strip(), list(made.parents)) == ("tool 1.2.3", [before])


def test_a_branch_is_made_from_the_default_branch(world: World, tap: GitHubTap) -> None:
    before = world.git.commit_of("main")
    commit = tap.commit("releaser/tool-1.2.3", PATH, b"1\n", "tool 1.2.3")
    assert list(world.git.commit(commit).parents) == [before]
    assert (world.read("releaser/tool-1.2.3", PATH), world.read("main", PATH)) == (b"1\n", None)


def test_a_branch_that_exists_is_built_upon(world: World, tap: GitHubTap) -> None:
    first = tap.commit("work", PATH, b"1\n", "one")
    second = tap.commit("work", PATH, b"2\n", "two")
    assert list(world.git.commit(second).parents) == [first]


@pytest.mark.parametrize("branch", ["main", "work"], ids=["a branch that moved", "a branch that was made"])
def test_whoever_writes_meanwhile_wins(world: World, branch: str) -> None:
    def theirs() -> None:
        if branch == "main":
            world.write(branch, PATH, b"theirs\n")
        else:
            tip = world.git.commit_of("main")
            assert tip is not None
            assert world.git.move("refs/heads/work", tip, None)
            world.write(branch, PATH, b"theirs\n")

    tap = world.tap(transport=Between("PATCH" if branch == "main" else "POST", "/git/refs", theirs))
    with pytest.raises(ConflictError) as caught:
        tap.commit(branch, PATH, b"ours\n", "tool 1.2.3")
    assert caught.value.code == "tap-raced"
    assert world.read(branch, PATH) == b"theirs\n"


def test_a_protected_branch_is_not_a_race(world: World) -> None:
    message = "Repository rule violations found\n\nChanges must be made through a pull request."
    inner = httpx.HTTPTransport()

    class Protected(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PATCH":
                return httpx.Response(422, json={"message": message})
            return inner.handle_request(request)

        def close(self) -> None:
            inner.close()

    with pytest.raises(ExternalError) as caught:
        world.tap(transport=Protected()).commit("main", PATH, b"ours\n", "tool 1.2.3")
    assert (caught.value.code, caught.value.retryable) == ("forge-refused", False)
    assert "pull request" in caught.value.found


def test_a_tap_without_a_commit_cannot_be_written(world: World) -> None:
    world.server.add_repository("acme/empty", 8, 70)
    world.server.grant("tap-bot", "acme/empty", "write")
    tap = world.tap("acme/empty")
    assert tap.file(PATH, "main") is None
    with pytest.raises(ExternalError) as caught:
        tap.commit("main", PATH, b"1\n", "one")
    assert (caught.value.code, caught.value.retryable) == ("tap-empty", False)


def test_a_commit_whose_answer_is_lost_is_unknown_and_there(world: World, tap: GitHubTap) -> None:
    world.server.faults.add(Fault("github.update-ref", "drop"))
    with pytest.raises(ExternalError) as caught:
        tap.commit("main", PATH, b"ours\n", "tool 1.2.3")
    assert caught.value.code == "forge-write-unknown"
    assert world.read("main", PATH) == b"ours\n"


def test_a_branch_has_one_pull_request(world: World, tap: GitHubTap) -> None:
    tap.commit("work", PATH, b"1\n", "one")
    assert tap.open_pull_request("work") is None
    url = tap.pull_request("work", "tool 1.2.3", "text")
    assert tap.pull_request("work", "another title", "text") == tap.open_pull_request("work") == url
    assert url.startswith(f"{world.server.url}/{REPOSITORY}/pull/")
    assert tap.open_pull_request("wor") is None


def test_a_pull_request_that_somebody_opened_first_is_ours(world: World, tap: GitHubTap) -> None:
    tap.commit("work", PATH, b"1\n", "one")
    urls: list[str] = []

    def first() -> None:
        if not urls:
            urls.append("")
            urls[0] = tap.pull_request("work", "theirs", "text")

    late = world.tap(transport=Between("POST", "/pulls", first))
    assert late.pull_request("work", "ours", "text") == urls[0]


def test_a_pull_request_without_a_change_is_declined(world: World, tap: GitHubTap) -> None:
    tip = world.git.commit_of("main")
    assert tip is not None
    world.git.move("refs/heads/same", tip, None)
    with pytest.raises(ExternalError) as caught:
        tap.pull_request("same", "nothing", "text")
    assert caught.value.code == "forge-refused"
    assert "No commits between" in caught.value.found


def test_a_pull_request_from_a_fork_is_not_taken_for_ours() -> None:
    pulls = [
        {
            "html_url": "https://x/1",
            "state": "open",
            "head": {"ref": "work", "repo": {"full_name": "eve/homebrew-tap"}},
        },
        {"html_url": "https://x/2", "state": "open", "head": {"ref": "work", "repo": None}},
    ]
    network = httpx.MockTransport(lambda _: httpx.Response(200, json=pulls))
    tap = GitHubTap(REPOSITORY, "t", "https://api.example.invalid", transport=network)
    assert tap.open_pull_request("work") is None


def test_the_port_is_implemented(tap: GitHubTap) -> None:
    port: Tap = tap
    assert port.default_branch() == "main"
