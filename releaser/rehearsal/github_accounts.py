"""Who is who in the rehearsal's GitHub: users, teams, repositories, tokens, and what each may do.

The other parts of the forge stand on this one: it admits requests and opens repositories for them.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from releaser.errors import ConfigError
from releaser.rehearsal.github_wire import NOT_FOUND, REPOSITORY_LINKS, USER_LINKS, error, node_id
from releaser.rehearsal.gitrepo import BareRepository, instant
from releaser.rehearsal.server import Faults, Journal, Refused, Request, Response, Service, route

Item = TypeVar("Item")

VERSIONS = ("", "2022-11-28", "2026-03-10")
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
LEGACY_ROLE = {"triage": "read", "maintain": "write"}
ACTIONS_BOT_ID = 41898282


@dataclass(frozen=True, slots=True)
class User:
    """An account; ``type`` is ``User``, ``Bot`` or ``Organization``."""

    login: str
    id: int
    type: str


NOBODY = User("", 0, "")
"""Who asks without a credential."""


@dataclass(slots=True)
class Repository:
    """A repository. ``roles`` maps logins to roles, ``protected`` names branches, ``verified`` signed objects."""

    full_name: str
    id: int
    owner: User
    default_branch: str
    private: bool
    immutable: bool
    created_at: str
    git: BareRepository
    roles: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Token:
    """A credential; with a *repository* it is an Actions job's and reaches no further."""

    user: User
    repository: Repository | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A repository as one caller sees it; the ``user`` is somebody wherever more than reading was asked for."""

    repository: Repository
    user: User
    role: str

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


class Accounts(Service):
    """Accounts and repositories."""

    name: ClassVar[str] = "github"

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self._numbers = itertools.count(10_001)
        self._accounts: dict[str, User] = {}
        self._repositories: dict[str, Repository] = {}
        self._teams: dict[str, set[str]] = {}
        self._tokens: dict[str, Token] = {}

    # Making the world

    def add_user(self, login: str, id: int, type: str = "User") -> str:
        """An account, and a token of its own."""
        user = User(login, id, type)
        with self.lock:
            self._accounts[login.lower()] = user
        return self._issue("ghp_", Token(user))

    def add_repository(
        self,
        full_name: str,
        repository_id: int,
        owner_id: int,
        default_branch: str = "main",
        *,
        private: bool = False,
        immutable: bool = False,
    ) -> Path:
        """An empty repository; the answer is where its bare git repository lies.

        Its owner becomes an organization unless a user of that name was added before.
        """
        login = full_name.partition("/")[0]
        git = BareRepository.create(self.root / "git" / f"{full_name}.git", default_branch)
        with self.lock:
            owner = self._accounts.setdefault(login.lower(), User(login, owner_id, "Organization"))
            self._repositories[full_name.lower()] = Repository(
                full_name, repository_id, owner, default_branch, private, immutable, self.now(), git
            )
        return git.path

    def add_actions_token(self, repository: str) -> str:
        """A job's ``GITHUB_TOKEN``: github-actions[bot], with write access to this one repository."""
        return self._issue(
            "ghs_", Token(User("github-actions[bot]", ACTIONS_BOT_ID, "Bot"), self.repository(repository))
        )

    def grant(self, login: str, repository: str, role: str) -> None:
        """Make *login* a collaborator: read, triage, write, maintain or admin; ``none`` takes it back."""
        if role not in ROLES:
            raise ConfigError("role-unknown", f"{role} is not a role", object=login, wanted=", ".join(ROLES))
        with self.lock:
            self.repository(repository).roles[self.account(login).login.lower()] = role

    def add_team(self, slug: str, logins: Sequence[str]) -> None:
        """The team *slug* (``org/team``) with exactly these members."""
        with self.lock:
            self._teams[slug.lower()] = {self.account(login).login.lower() for login in logins}

    def repository(self, full_name: str) -> Repository:
        """The record behind a repository, for arranging a world by hand."""
        found = self._repositories.get(full_name.lower())
        if found is None:
            raise ConfigError("repository-unknown", "the rehearsal has no such repository", object=full_name)
        return found

    def account(self, login: str) -> User:
        found = self._accounts.get(login.lower())
        if found is None:
            raise ConfigError("account-unknown", "the rehearsal has no such account", object=login)
        return found

    def _issue(self, prefix: str, token: Token) -> str:
        secret = prefix + secrets.token_hex(18)
        with self.lock:
            self._tokens[secret] = token
        return secret

    # Opening a request

    def now(self) -> str:
        return instant(self.clock())

    def next_id(self) -> int:
        """A fresh identifier."""
        return next(self._numbers)

    def viewer(self, request: Request) -> Token | None:
        """Whose request it is, None for nobody; 401 for a token nobody has."""
        scheme, _, credential = request.header("authorization").partition(" ")
        if not scheme:
            return None
        offered = [credential.strip()]
        if scheme.lower() == "basic":
            try:
                offered = base64.b64decode(credential).decode(errors="replace").split(":", 1)
            except binascii.Error:
                offered = []
        # In Basic the token may be either half; git sends it as the password.
        for secret in offered:
            if found := self._tokens.get(secret):
                return found
        raise Refused(error(401, "Bad credentials"))

    def admit(self, request: Request) -> Token | None:
        """The checks every REST call goes through first."""
        if not request.header("user-agent"):
            raise Refused(error(403, "Request forbidden by administrative rules. Please send a User-Agent header."))
        version = request.header("x-github-api-version")
        if version not in VERSIONS:
            raise Refused(error(400, f"{version} is not a supported version of the API"))
        return self.viewer(request)

    def open(self, request: Request, role: str = "read") -> Access:
        """The repository of the path for a caller with at least *role*; 404 for lack of it, as GitHub does."""
        token = self.admit(request)
        if token is None and role != "read":
            raise Refused(error(401, "Requires authentication"))
        access = self.access(f"{request.params['owner']}/{request.params['repo']}", token)
        if access is None or not access.may(role):
            raise Refused(NOT_FOUND)
        return access

    def access(self, full_name: str, token: Token | None) -> Access | None:
        repository = self._repositories.get(full_name.lower())
        if repository is None:
            return None
        role = "none" if repository.private else "read"
        if token is None:
            return Access(repository, NOBODY, role)
        if token.repository is not None:
            return Access(repository, token.user, "write" if token.repository is repository else role)
        return Access(repository, token.user, self.role(token.user, repository))

    def role(self, user: User, repository: Repository) -> str:
        """The role of *user* in *repository*; everybody may read a public one."""
        if user.id == repository.owner.id:
            return "admin"
        granted = repository.roles.get(user.login.lower(), "none")
        return "read" if granted == "none" and not repository.private else granted

    def not_found(self, _request: Request) -> Response:
        return NOT_FOUND

    def page(self, request: Request, items: Sequence[Item], shape: Callable[[Item], Any], wrap: str = "") -> Response:
        """One page of *items* with the ``Link`` header; *wrap* names the list inside an object with a total."""
        size, page = window(request)
        last = max(-(-len(items) // size), 1)
        links = []
        for rel, wanted in (("prev", page - 1), ("next", page + 1), ("last", last), ("first", 1)):
            outward = wanted < page if rel in ("prev", "first") else wanted > page
            if outward and 1 <= wanted <= last:
                query = urlencode({**request.query, "page": wanted})
                links.append(f'<{self.url}{request.path}?{query}>; rel="{rel}"')
        shown = [shape(item) for item in items[(page - 1) * size : page * size]]
        value = {"total_count": len(items), wrap: shown} if wrap else shown
        answer = Response.json(value)
        answer.headers.update({"Link": ", ".join(links)} if links else {})
        return answer

    # Shapes

    def user_json(self, user: User) -> dict[str, Any]:
        api = f"{self.url}/users/{user.login}"
        return {
            "login": user.login,
            "id": user.id,
            "node_id": node_id(user.type, user.id),
            "avatar_url": f"{self.url}/u/{user.id}?v=4",
            "gravatar_id": "",
            "url": api,
            "html_url": f"{self.url}/{user.login}",
            **{name: api + path for name, path in USER_LINKS.items()},
            "type": user.type,
            "user_view_type": "public",
            "site_admin": False,
        }

    def profile_json(self, user: User) -> dict[str, Any]:
        nothing = dict.fromkeys(("company", "blog", "location", "email", "hireable", "bio"))
        counts = dict.fromkeys(("public_gists", "followers", "following"), 0)
        counts["public_repos"] = sum(r.owner is user and not r.private for r in self._repositories.values())
        born = instant(0)
        return {**self.user_json(user), "name": user.login, **nothing, **counts, "created_at": born, "updated_at": born}

    def api(self, repository: Repository, path: str = "") -> str:
        """Address of *repository* in the REST API."""
        return f"{self.url}/repos/{repository.full_name}{path}"

    def html(self, repository: Repository, path: str = "") -> str:
        """Address of *repository* for people."""
        return f"{self.url}/{repository.full_name}{path}"

    def repository_json(self, repository: Repository) -> dict[str, Any]:
        """A repository as it shows inside other things."""
        nothing = dict.fromkeys(("description", "homepage", "language", "license", "mirror_url"))
        counts = ("forks", "open_issues", "stargazers", "watchers")
        switches = ("has_issues", "has_projects", "has_wiki", "has_downloads")
        return {
            "id": repository.id,
            "node_id": node_id("Repository", repository.id),
            "name": repository.full_name.partition("/")[2],
            "full_name": repository.full_name,
            "owner": self.user_json(repository.owner),
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "html_url": self.html(repository),
            "url": self.api(repository),
            **{name: self.api(repository, path) for name, path in REPOSITORY_LINKS.items()},
            "clone_url": self.html(repository) + ".git",
            "git_url": f"git://127.0.0.1/{repository.full_name}.git",
            "ssh_url": f"git@127.0.0.1:{repository.full_name}.git",
            "svn_url": self.html(repository),
            **nothing,
            **{f"{name}_count": 0 for name in counts},
            **dict.fromkeys(("forks", "open_issues", "watchers", "size"), 0),
            **dict.fromkeys(switches, True),
            **dict.fromkeys(("fork", "archived", "disabled", "has_pages", "has_discussions"), False),
            "default_branch": repository.default_branch,
            **dict.fromkeys(("created_at", "updated_at", "pushed_at"), repository.created_at),
            "topics": [],
        }

    def repository_detail_json(self, access: Access) -> dict[str, Any]:
        """A repository as its own page shows it, to an account with what it may do."""
        value = {**self.repository_json(access.repository), "network_count": 0, "subscribers_count": 0}
        if access.user is not NOBODY:
            names = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
            value["permissions"] = {name: access.may(role) for name, role in names.items()}
        return value

    # Routes

    @route("GET", "/repos/{owner}/{repo}", "get-repository")
    def get_repository(self, request: Request) -> Response:
        return Response.json(self.repository_detail_json(self.open(request)))

    @route("GET", "/repos/{owner}/{repo}/immutable-releases", "get-immutable-releases")
    def get_immutable_releases(self, request: Request) -> Response:
        if not self.open(request, "admin").repository.immutable:
            return NOT_FOUND
        return Response.json({"enabled": True, "enforced_by_owner": False})

    @route("GET", "/repos/{owner}/{repo}/collaborators/{login}/permission", "get-permission")
    def get_permission(self, request: Request) -> Response:
        access = self.open(request)
        if not access.may("write"):
            return error(403, "Must have push access to view collaborator permission.")
        user = self._accounts.get(request.params["login"].lower())
        if user is None:
            return NOT_FOUND
        role = self.role(user, access.repository)
        return Response.json(
            {
                "permission": LEGACY_ROLE.get(role, role),
                "role_name": role,
                "user": {**self.user_json(user), "role_name": role},
            }
        )

    @route("GET", "/orgs/{org}/teams/{slug}/memberships/{login}", "get-membership")
    def get_membership(self, request: Request) -> Response:
        if self.admit(request) is None:
            return error(401, "Requires authentication")
        org, slug, login = (request.params[name].lower() for name in ("org", "slug", "login"))
        if login not in self._teams.get(f"{org}/{slug}", ()):
            return NOT_FOUND
        return Response.json({"url": self.url + request.path, "role": "member", "state": "active"})

    @route("GET", "/user", "get-viewer")
    def get_viewer(self, request: Request) -> Response:
        token = self.admit(request)
        if token is None:
            return error(401, "Requires authentication")
        if token.repository is not None:
            return error(403, "Resource not accessible by integration")
        return Response.json(self.profile_json(token.user))

    @route("GET", "/users/{login}", "get-user")
    def get_user(self, request: Request) -> Response:
        self.admit(request)
        user = self._accounts.get(request.params["login"].lower())
        return NOT_FOUND if user is None else Response.json(self.profile_json(user))


def window(request: Request) -> tuple[int, int]:
    """The size and the number of the page that is asked for."""
    return min(_positive(request, "per_page", 30), 100), _positive(request, "page", 1)


def _positive(request: Request, name: str, default: int) -> int:
    value = request.query.get(name, "")
    return max(int(value), 1) if value.isdecimal() else default
