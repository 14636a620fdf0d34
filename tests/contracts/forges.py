"""The forges that suites ask: the rehearsal's GitHub, and an emulator of GitHub that others wrote.

A `Home` has both ends of the contract: our adapter in front of it, and its bare wire.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.github import GitHub
from releaser.adapters.github_rest import VERSION
from releaser.adapters.github_tap import GitHubTap
from releaser.engine.ports import Release
from releaser.errors import ReleaserError
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.server import Faults, Journal
from tests.contracts.servers import free_port, running
from tests.contracts.table import REHEARSAL, Column, Documented, Instead, columns
from tests.places import SERVERS

EMULATE = Column("emulate", "emulate 0.12.2", ("node_modules/.bin/node", "node_modules/emulate/dist/index.js"))
"""npm ``emulate``, which needs Node 22: a second opinion, and no oracle (see its differences)."""

OWNER, TOOL, MANY, SECRET = "octo", "octo/tool", "octo/many", "octo/secret"
REPOSITORIES = (TOOL, MANY, SECRET)
PEOPLE = {"octo": 601, "ana": 602, "eve": 603}
"""Who owns the repositories, who maintains them, and a stranger; the emulator gives numbers of its own."""
TEAM = "acme/crew"
JSON = "application/vnd.github+json"
RAW = "application/vnd.github.raw+json"
BYTES = "application/octet-stream"
ABSENT = "it has no such operation; only the rehearsal can be held to it"
TAKES = "it does not check this; GitHub's refusal is seen in the rehearsal alone"
WORDS = "it refuses as well, in other words"
STATUS = "it refuses as well, with another status"
"""Why the emulator may differ."""
_numbers = itertools.count(1)


@dataclass
class Home:
    """A forge with three repositories of ``octo``; *world* is the server itself where it is the rehearsal's."""

    url: str
    http: httpx.Client
    tokens: dict[str, str]
    folder: Path
    world: Rehearsal | None = None
    _opened: list[GitHub | GitHubTap] = field(default_factory=list)

    # Both ends

    def forge(self, by: str = OWNER, repository: str = TOOL) -> GitHub:
        opened = GitHub(repository, self.tokens.get(by, by), self.url, sleep=lambda _: None)
        self._opened.append(opened)
        return opened

    def tap(self, transport: httpx.BaseTransport | None = None) -> GitHubTap:
        opened = GitHubTap(TOOL, self.tokens[OWNER], self.url, sleep=lambda _: None, transport=transport)
        self._opened.append(opened)
        return opened

    def call(self, method: str, path: str, by: str = OWNER, **options: Any) -> httpx.Response:
        """The answer to a bare request; *path* is relative to the repository `TOOL` unless it begins with a slash."""
        headers = {"Accept": JSON, "X-GitHub-Api-Version": VERSION, **options.pop("headers", {})}
        if by:
            headers["Authorization"] = f"Bearer {self.tokens.get(by, by)}"
        url = httpx.URL(f"{self.url}/repos/{TOOL}/").join(path)
        return self.http.request(method, url, headers=headers, **options)

    def close(self) -> None:
        for opened in self._opened:
            opened.close()

    # Arranging

    def fresh(self) -> str:
        """A tag that nothing has been done with."""
        return f"v1.{next(_numbers)}.0"

    def file(self, content: bytes) -> Path:
        path = self.folder / f"file{next(_numbers)}"
        path.write_bytes(content)
        return path

    @property
    def head(self) -> str:
        """The commit at the tip of the default branch."""
        sha: str = self.call("GET", "git/ref/heads/main").json()["object"]["sha"]
        return sha

    def commit(self, branch: str = "main") -> str:
        """A new commit on *branch*, made by the contents API."""
        sent = {"message": "a change", "content": "eA==", "branch": branch}
        made = self.call("PUT", f"contents/notes/{next(_numbers)}.md", json=sent)
        assert made.status_code == 201, made.text
        sha: str = made.json()["commit"]["sha"]
        return sha

    def branch(self) -> str:
        """A new branch from where the default branch is."""
        name = f"topic/{next(_numbers)}"
        made = self.call("POST", "git/refs", json={"ref": f"refs/heads/{name}", "sha": self.head})
        assert made.status_code == 201, made.text
        return name

    def check(self, commit: str, name: str, conclusion: str | None) -> None:
        """A check run, as the app of a CI makes it."""
        if self.world:
            self.world.set_check(TOOL, commit, name, conclusion)
            return
        state = {"status": "completed", "conclusion": conclusion} if conclusion else {"status": "in_progress"}
        assert self.call("POST", "check-runs", json={"name": name, "head_sha": commit, **state}).status_code == 201

    def draft(self, tag: str, commit: str = "") -> Release:
        return self.forge().create_draft(tag, commit or self.head, tag.removeprefix("v"), "notes", prerelease=False)

    def upload(self, release: Release, name: str, content: bytes) -> httpx.Response:
        url = release.upload_url.partition("{")[0]
        return self.call("POST", url, params={"name": name}, content=content, headers={"Content-Type": BYTES})


def outcome(work: Callable[[], object]) -> str:
    """``done``, or the code of the error that *work* ended in."""
    try:
        work()
    except ReleaserError as error:
        return error.code
    return "done"


def said(answer: httpx.Response, **names: str) -> str:
    """Status and words of an answer, as in ``422 Validation Failed: Release tag_name already_exists``, on one line.

    *names* stand for what differs from run to run: with ``BRANCH="topic/1"`` that branch goes by ``BRANCH``.
    """
    value = answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else {}
    if not isinstance(value, dict) or answer.status_code < 400:
        return str(answer.status_code)
    keys = ("resource", "field", "code", "message")
    errors = [" ".join(error[key] for key in keys if key in error) for error in value.get("errors", ())]
    words = f"{answer.status_code} {': '.join([value['message'], *errors])}".replace("\n\n", " / ")
    for name, instance in names.items():
        words = words.replace(instance, name)
    return words


def refused(documented: Documented, words: str, emulated: str) -> str:
    """What `said` must give: *words*, or the emulator's, and why that is no harm."""
    why = TAKES if emulated.startswith("2") else WORDS if emulated[:3] == words[:3] else STATUS
    return documented(words, emulate=Instead(emulated, why))


def ignore(_: int) -> None:
    """Progress nobody looks at."""


@contextmanager
def served(column: Column, folder: Path) -> Iterator[Home]:
    """The forge of *column*, with its people, teams and repositories."""
    with _rehearsal(folder) if column is REHEARSAL else _emulator(folder) as home:
        readmes = [f"/repos/{name}/contents/README.md" for name in REPOSITORIES]
        for file in (*readmes, f"/repos/{TOOL}/contents/docs/guide.md"):
            old = home.call("GET", file).json()  # the emulator's repositories begin with a README.md
            sent = {"message": "first", "content": "aGVsbG8K", "branch": "main"}
            home.call("PUT", file, json=sent | ({"sha": old["sha"]} if "sha" in old else {}))
        yield home
        home.close()


@contextmanager
def _rehearsal(folder: Path) -> Iterator[Home]:
    github = Rehearsal(folder / "github", Journal(), Faults())
    tokens = {login: github.add_user(login, number) for login, number in PEOPLE.items()}
    for number, name in enumerate(REPOSITORIES, 1):
        github.add_repository(name, number, PEOPLE[OWNER], private=name == SECRET)
    github.grant("ana", TOOL, "maintain")
    github.add_team(TEAM, ["ana"])
    tokens["job"] = github.add_actions_token(TOOL)
    github.start()
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        yield Home(github.url, http, tokens, folder, github)
    github.stop()


@contextmanager
def _emulator(folder: Path) -> Iterator[Home]:
    port = free_port()
    url, tokens = f"http://127.0.0.1:{port}", {login: f"ghp_{login:0<36}" for login in PEOPLE}
    named = [(name.split("/")[1], name == SECRET) for name in REPOSITORIES]
    seed = {
        "tokens": {token: {"login": login, "scopes": ["repo", "user", "admin:org"]} for login, token in tokens.items()},
        "github": {
            "users": [{"login": login} for login in PEOPLE],
            "orgs": [{"login": "acme", "members": [{"login": OWNER, "role": "admin"}]}],
            "repos": [{"owner": OWNER, "name": name, "private": private} for name, private in named],
        },
    }
    (folder / "seed.json").write_text(json.dumps(seed))
    node, emulate = (SERVERS / part for part in EMULATE.needs)
    options = ("--service", "github", "--port", str(port), "--seed", "seed.json", "--base-url", url)
    with running(node, emulate, "start", *options, ready=url, folder=folder) as http:
        home = Home(url, http, tokens, folder)
        home.call("PUT", "collaborators/ana", json={"permission": "maintain"})
        home.call("POST", "/orgs/acme/teams", json={"name": "crew"})
        home.call("PUT", "/orgs/acme/teams/crew/memberships/ana", json={})
        yield home


def fixtures(*forges: Column) -> Any:
    """The fixture ``home`` of a suite: each of *forges*, which its cases share."""

    @pytest.fixture(scope="module", params=columns(*forges))
    def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
        with served(request.param, tmp_path_factory.mktemp(request.param.key)) as found:
            yield found

    return home
