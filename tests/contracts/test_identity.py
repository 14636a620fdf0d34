"""The identity of a job: how it is asked for, what it says, and what each registry gives for it.

actions/toolkit packages/core/src/oidc-utils.ts and GitHub's OIDC reference; pypi/warehouse oidc/{views,services}.py and
oidc/models/github.py; rust-lang/crates.io src/controllers/trustpub/tokens; npm/api-documentation
api/registry.npmjs.com/oidc.yaml and npm/documentation securing-your-code/trusted-publishers.mdx.
"""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx
import jwt
import pytest

from releaser.adapters.crates import Crates
from releaser.adapters.http import Client
from releaser.adapters.npm import Npm
from releaser.adapters.oidc import ActionsIdentity
from releaser.adapters.pypi import PyPI
from releaser.engine.ports import Credential, Registry
from releaser.errors import ConfigError, ExternalError
from releaser.rehearsal import crates, npm, pypi
from releaser.rehearsal.issuer import Issuer
from releaser.rehearsal.server import Faults, Journal
from tests.adapters.wires import Clock, at
from tests.contracts.table import Column, Documented, Instead, columns

TITLE = "Identity exchange"
REFUSES = "it refuses as well, in its own words"

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
PYPI = Column("pypi", "PyPI of the rehearsal world")
CRATES = Column("crates", "crates.io of the rehearsal world")
NPM = Column("npm", "npm of the rehearsal world")
WORKFLOWS = "acme/widget/.github/workflows"
TAG = "refs/tags/v1.0.0"
JOB = {
    "repository": "acme/widget",
    "repository_id": "1001",
    "repository_owner": "acme",
    "repository_owner_id": "501",
    "repository_visibility": "public",
    "workflow": "release",
    "workflow_ref": f"{WORKFLOWS}/release.yml@{TAG}",
    "workflow_sha": "0" * 40,
    "job_workflow_ref": f"{WORKFLOWS}/release.yml@{TAG}",
    "job_workflow_sha": "0" * 40,
    "environment": "release",
    "ref": TAG,
    "ref_type": "tag",
    "ref_protected": "true",
    "sha": "0" * 40,
    "event_name": "push",
    "run_id": "7001",
    "run_number": "1",
    "run_attempt": "1",
    "actor": "octo",
    "actor_id": "601",
    "head_ref": "",
    "base_ref": "",
    "runner_environment": "github-hosted",
    "check_run_id": "8001",
}
FORM = {":action": "file_upload", "metadata_version": "2.1", "version": "1.0", "filetype": "sdist"}
_numbers = itertools.count(1)


class Service(Protocol):
    """A rehearsal registry, as far as all of them are alike."""

    now: Callable[[], float]

    @property
    def url(self) -> str: ...

    def add_package(self, name: str) -> None: ...

    def trust(
        self, package: str, repository: str, workflow: str, environment: str | None = None, owner_id: str = "501"
    ) -> object: ...


@dataclass
class Exchange:
    """One registry at both ends: ``adapter`` is ours, ``http`` is bare. ``clock`` is the registry's."""

    column: Column
    audience: str
    service: Service
    adapter: Registry
    issuer: Issuer
    client: Client
    http: httpx.Client
    clock: float = float(NOW)

    def __post_init__(self) -> None:
        self.service.now = lambda: self.clock

    @property
    def identity(self) -> ActionsIdentity:
        """The job's, as our adapters ask for it."""
        return ActionsIdentity(self.client, self.issuer.request_url, self.issuer.request_token)

    def jwt(self, **claims: str | int) -> str:
        return self.issuer.token(self.audience, **claims)

    def package(self, repository: str = "", environment: str | None = "release") -> tuple[str, str]:
        """A package that exists, and the repository that may publish it: one of its own unless it is named."""
        number = next(_numbers)
        name, home = f"widget-{number}", repository or f"acme/widget-{number}"
        self.service.add_package(name)
        self.service.trust(name, home, "release.yml", environment)
        return name, home

    def show(self, name: str, identity: str) -> httpx.Response:
        """The answer to *identity*, shown for *name*."""
        match self.column.key:
            case "pypi":
                return self.http.post(f"{self.service.url}/_/oidc/mint-token", json={"token": identity})
            case "crates":
                return self.http.post(f"{self.service.url}/api/v1/trusted_publishing/tokens", json={"jwt": identity})
            case _:
                path = f"/-/npm/v1/oidc/token/exchange/package/{name}"
                return self.http.post(
                    f"{self.service.url}{path}", headers={"Authorization": f"Bearer {identity}".strip()}
                )

    def right(self, token: str, name: str) -> bool:
        """Whether *token* may publish *name* now: an upload that is no package is refused for that, or before."""
        match self.column.key:
            case "pypi":
                answer = self.http.post(
                    f"{self.service.url}/legacy/",
                    data={**FORM, "name": name},
                    files={"content": ("odd.txt", b"odd")},
                    headers={"Authorization": f"Basic {base64.b64encode(f'__token__:{token}'.encode()).decode()}"},
                )
            case "crates":
                document = json.dumps({"name": name, "vers": "1.0.0", "deps": []}).encode()
                frame = len(document).to_bytes(4, "little") + document + (3).to_bytes(4, "little") + b"odd"
                url = f"{self.service.url}/api/v1/crates/new"
                answer = self.http.put(url, content=frame, headers={"Authorization": token})
            case _:
                headers = {"Authorization": f"Bearer {token}"}
                answer = self.http.put(f"{self.service.url}/{name}", json={}, headers=headers)
        assert answer.status_code in (400, 403, 404)
        return answer.status_code == 400


def home(repository: str) -> dict[str, str]:
    """The claims of a job in *repository*."""
    workflow = f"{repository}/.github/workflows/release.yml@{TAG}"
    return {"repository": repository, "workflow_ref": workflow, "job_workflow_ref": workflow}


def said(answer: httpx.Response) -> str:
    """Status, code and words of a refusal, whichever way the registry says them."""
    body = answer.json()
    words = [f"{e.get('code', '')} {e.get('description', '')}{e.get('detail', '')}" for e in body.get("errors", ())]
    return " ".join((str(answer.status_code), *words, body.get("error", ""))).replace("  ", " ").strip()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Exchange]]:
    root, journal, faults = tmp_path_factory.mktemp("identity"), Journal(), Faults()
    issuer = Issuer(root / "oidc", journal, faults)
    issuer.clock = lambda: NOW
    at_pypi = pypi.PyPI(root / "pypi", journal, faults, issuer)
    at_crates = crates.Crates(root / "crates", journal, faults, issuer)
    at_npm = npm.Npm(root / "npm", journal, faults, issuer)
    started = (issuer, at_pypi, at_crates, at_npm)
    for service in started:
        service.start()
    clock = Clock()
    clock.time = datetime.fromtimestamp(NOW, UTC)
    client = Client(clock=clock)
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        yield {
            "pypi": Exchange(PYPI, "pypi", at_pypi, PyPI(at(at_pypi.url), client), issuer, client, http),
            "crates": Exchange(CRATES, "crates.io", at_crates, Crates(at(at_crates.url), client), issuer, client, http),
            "npm": Exchange(NPM, "npm:127.0.0.1", at_npm, Npm(at(at_npm.url), client), issuer, client, http),
        }
    client.close()
    for service in started:
        service.stop()


@pytest.fixture(params=columns(PYPI, CRATES, NPM))
def exchange(request: pytest.FixtureRequest, services: dict[str, Exchange]) -> Iterator[Exchange]:
    exchange = services[request.param.key]
    yield exchange
    exchange.clock = NOW


# the identity provider


def ask(exchange: Exchange, audience: str = "", authorization: str | None = None) -> httpx.Response:
    """The identity provider's answer to a job that names *audience*."""
    given = f"Bearer {exchange.issuer.request_token}" if authorization is None else authorization
    url = f"{exchange.issuer.request_url}&audience={audience}" if audience else exchange.issuer.request_url
    return exchange.http.get(url, headers={"Authorization": given} if given else {})


def test_asked(exchange: Exchange) -> None:
    """A job asks at an address that has a query already, with a Bearer token, and gets `value`"""
    assert exchange.issuer.request_url == f"{exchange.issuer.url}/token?api-version=2.0"
    answer = ask(exchange, exchange.audience)
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"], sorted(body)) == (
        200,
        "application/json",
        ["count", "value"],
    )
    assert (body["value"].count("."), body["count"]) == (2, len(body["value"]))
    assert ask(exchange, exchange.audience, f"bearer {exchange.issuer.request_token}").status_code == 200
    assert exchange.identity.token(exchange.audience).count(".") == 2


@pytest.mark.parametrize(
    "authorization", ["", "Bearer guess", "Bearer", "Basic"], ids=["none", "wrong", "empty", "basic"]
)
def test_asked_by_a_stranger(exchange: Exchange, authorization: str) -> None:
    """Nobody but the job gets its identity"""
    given = f"Basic {exchange.issuer.request_token}" if authorization == "Basic" else authorization
    answer = ask(exchange, exchange.audience, given)
    assert (answer.status_code, answer.json()) == (401, {"message": "Bad credentials"})
    with pytest.raises(ExternalError) as caught:
        ActionsIdentity(exchange.client, exchange.issuer.request_url, "guess").token(exchange.audience)
    assert (caught.value.code, caught.value.found) == ("identity-refused", "401 Bad credentials")


def unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_claims(exchange: Exchange) -> None:
    """The identity has every claim that GitHub documents, all strings but the times, and lives five minutes"""
    claims = unverified(exchange.identity.token(exchange.audience))
    assert str(uuid.UUID(claims.pop("jti"))).count("-") == 4
    assert claims == {
        **JOB,
        "iss": exchange.issuer.url,
        "sub": "repo:acme/widget:environment:release",
        "aud": exchange.audience,
        "iat": NOW,
        "nbf": NOW - 600,
        "exp": NOW + 300,
    }


def test_default_audience(exchange: Exchange) -> None:
    """A job that names no audience gets an identity for its repository's owner, which no registry takes"""
    name, _ = exchange.package("acme/widget")
    token = ask(exchange).json()["value"]
    assert unverified(token)["aud"] == "https://github.com/acme"
    assert exchange.show(name, token).status_code in (400, 401, 422)


def test_jti(exchange: Exchange) -> None:
    """No two identities share a `jti`"""
    seen = [unverified(exchange.identity.token(exchange.audience))["jti"] for _ in range(10)]
    assert len(set(seen)) == 10


def test_signature(exchange: Exchange) -> None:
    """The identity is signed by RS256 with a key of the published set"""
    configuration = exchange.http.get(f"{exchange.issuer.url}/.well-known/openid-configuration").json()
    times = {"iss", "sub", "aud", "jti", "iat", "nbf", "exp"}
    assert configuration == {
        "issuer": exchange.issuer.url,
        "jwks_uri": f"{exchange.issuer.url}/.well-known/jwks",
        "subject_types_supported": ["public", "pairwise"],
        "response_types_supported": ["id_token"],
        "claims_supported": sorted({*JOB, *times}),
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
    }
    (key,) = exchange.http.get(configuration["jwks_uri"]).json()["keys"]
    token = exchange.identity.token(exchange.audience)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "RS256", "typ": "JWT", "kid": key["kid"]}
    assert (sorted(key), key["kty"], key["use"], key["alg"], key["e"]) == (
        ["alg", "e", "kid", "kty", "n", "use"],
        "RSA",
        "sig",
        "RS256",
        "AQAB",
    )
    assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256
    timeless: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    loaded = jwt.PyJWK.from_dict(key).key
    assert jwt.decode(
        token, loaded, ["RS256"], audience=exchange.audience, issuer=exchange.issuer.url, options=timeless
    )


SUBJECTS: dict[str, tuple[dict[str, str], str]] = {
    "an environment": ({}, "environment:release"),
    "a colon in it": ({"environment": "eu:west"}, "environment:eu%3Awest"),
    "none": ({"environment": ""}, f"ref:{TAG}"),
    "a colon in the ref": ({"environment": "", "ref": "refs/heads/a:b"}, "ref:refs/heads/a%3Ab"),
    "a pull request": ({"environment": "", "event_name": "pull_request"}, "pull_request"),
    "a pull request with an environment": ({"event_name": "pull_request"}, "environment:release"),
}


@pytest.mark.parametrize("case", SUBJECTS)
def test_subject(exchange: Exchange, case: str) -> None:
    """`sub` names the environment, else the pull request, else the ref"""
    changes, subject = SUBJECTS[case]
    claims = unverified(exchange.jwt(**changes))
    assert claims["sub"] == f"repo:acme/widget:{subject}"
    assert ("environment" in claims) is (changes.get("environment") != "")


def test_immutable_subject(exchange: Exchange) -> None:
    """The immutable form of `sub` hinders no exchange"""
    name, _ = exchange.package("acme/widget")
    assert exchange.show(name, exchange.jwt(sub="repo:acme@501/widget@1001:environment:release")).status_code in (
        200,
        201,
    )


def test_next_job(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity is of the job as it is when it asks"""
    before = exchange.identity.token(exchange.audience)
    monkeypatch.setitem(exchange.issuer.claims, "event_name", "workflow_dispatch")
    seen = [unverified(token)["event_name"] for token in (before, exchange.identity.token(exchange.audience))]
    assert seen == ["push", "workflow_dispatch"]


# the exchange


def test_exchanged(exchange: Exchange, documented: Documented) -> None:
    """A trusted publisher's identity is exchanged for a token"""
    name, repository = exchange.package()
    answer = exchange.show(name, exchange.jwt(**home(repository)))
    body = answer.json()
    token = str(body.pop("token"))
    assert answer.headers["content-type"] == "application/json"
    told = documented(
        "200 expires, success",
        crates=Instead("200", "it gives the token alone, and does not say when it ends"),
        npm=Instead("201 created, expires, token_type", "it has fields of its own, with times as dates"),
    )
    assert f"{answer.status_code} {', '.join(sorted(body))}".strip() == told
    bodies: dict[str, dict[str, object]] = {
        "pypi": {"success": True, "expires": NOW + 900},
        "crates": {},
        "npm": {"token_type": "oidc", "created": "2027-01-15T08:00:00.000Z", "expires": "2027-01-15T09:00:00.000Z"},
    }
    assert body == bodies[exchange.column.key]
    prefix = documented("pypi-", crates=Instead("cio_tp_", "its own prefix"), npm=Instead("npm_", "its own prefix"))
    assert token.startswith(prefix)
    assert len(token) == documented(
        69,
        crates=Instead(39, "its own length: 31 characters and one that checks them"),
        npm=Instead(40, "its own length"),
    )
    assert exchange.right(token, name)


def test_authorized(exchange: Exchange, documented: Documented) -> None:
    """Our adapter asks for its registry's audience, exchanges, and knows when the token ends"""
    name, _ = exchange.package("acme/widget")
    credential = exchange.adapter.authorize(name, exchange.identity)
    assert credential.expires - NOW == documented(
        900, crates=Instead(1800, "half an hour, by our clock"), npm=Instead(3600, "an hour, as it says")
    )
    assert exchange.right(credential.secret, name)


def test_audience(exchange: Exchange, documented: Documented) -> None:
    """A registry takes no identity for another audience"""
    name, repository = exchange.package()
    for audience in ("testpypi", "https://github.com/acme", "npm:example.invalid", "crates.io.example.invalid"):
        answer = exchange.show(name, exchange.jwt(**home(repository), aud=audience))
        assert said(answer) == documented(
            "422 invalid-token malformed or invalid token",
            crates=Instead("400 Failed to decode JWT", REFUSES),
            npm=Instead("401 OIDC token exchange error - unauthorized", REFUSES),
        )


def test_audience_is_told(exchange: Exchange, documented: Documented) -> None:
    """PyPI says which audience it wants"""
    answer = exchange.http.get(f"{exchange.service.url}/_/oidc/audience")
    known = "it has one audience, which is documented"
    told = f"{answer.status_code} {answer.json().get('audience', '')}".strip()
    assert told == documented("200 pypi", crates=Instead("404", known), npm=Instead("404", known))


def foreign(exchange: Exchange, claims: dict[str, str]) -> str:
    """The right claims under somebody else's key."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    own = unverified(exchange.jwt(**claims))
    return jwt.encode(own, generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": exchange.issuer.kid})


def altered(exchange: Exchange, claims: dict[str, str]) -> str:
    """The right claims under the signature of others."""
    header, _, signature = exchange.jwt(**claims, actor="mallory").split(".")
    return ".".join((header, exchange.jwt(**claims).split(".")[1], signature))


def unsigned(exchange: Exchange, claims: dict[str, str]) -> str:
    return jwt.encode(unverified(exchange.jwt(**claims)), "", algorithm="none", headers={"kid": exchange.issuer.kid})


def symmetric(exchange: Exchange, claims: dict[str, str]) -> str:
    key = "public knowledge of 32 characters"
    return jwt.encode(unverified(exchange.jwt(**claims)), key, algorithm="HS256", headers={"kid": exchange.issuer.kid})


def several(exchange: Exchange, claims: dict[str, str]) -> str:
    """Meant for this registry and another one."""
    claims_of_all: Any = {**claims, "aud": [exchange.audience, "elsewhere"]}
    return exchange.jwt(**claims_of_all)


def without(claim: str) -> Callable[[Exchange, dict[str, str]], str]:
    absent: Any = {claim: None}
    return lambda exchange, claims: exchange.jwt(**claims, **absent)


def with_(**changes: str | int) -> Callable[[Exchange, dict[str, str]], str]:
    return lambda exchange, claims: exchange.jwt(**{**claims, **changes})


UNBELIEVED: dict[str, Callable[[Exchange, dict[str, str]], str]] = {
    "no token": lambda *_: "",
    "not a token": lambda *_: "not.a.token",
    "another key": foreign,
    "altered claims": altered,
    "no signature": unsigned,
    "a shared secret": symmetric,
    "several audiences": several,
    "a time that is none": with_(exp="soon"),
    "a time that is an object": with_(nbf={}),  # type: ignore[arg-type]
    **{f"no {claim}": without(claim) for claim in ("aud", "jti", "iat", "nbf", "exp")},
}


@pytest.mark.parametrize("case", UNBELIEVED)
def test_unbelieved(exchange: Exchange, case: str, documented: Documented) -> None:
    """What is not signed by the provider, whole and for one audience, is refused"""
    name, repository = exchange.package()
    answer = exchange.show(name, UNBELIEVED[case](exchange, home(repository)))
    assert said(answer) == documented(
        "422 invalid-token malformed or invalid token",
        crates=Instead("400 Failed to decode JWT", REFUSES),
        npm=Instead("401 OIDC token exchange error - unauthorized", REFUSES),
    )


def test_issuer(exchange: Exchange, documented: Documented) -> None:
    """An identity of another provider is refused"""
    name, repository = exchange.package()
    answer = exchange.show(name, exchange.jwt(**home(repository), iss="https://example.invalid"))
    assert said(answer) == documented(
        "422 invalid-token malformed or invalid token",
        crates=Instead(
            "400 Unsupported JWT issuer: https://example.invalid", "it refuses as well, and names the issuer"
        ),
        npm=Instead("401 OIDC token exchange error - unauthorized", REFUSES),
    )


SKEWS = {
    "expired": lambda skew: {"exp": NOW - skew},
    "not yet valid": lambda skew: {"nbf": NOW + skew},
    "issued in the future": lambda skew: {"iat": NOW + skew},
}


@pytest.mark.parametrize("case", SKEWS)
def test_skew(exchange: Exchange, case: str, documented: Documented) -> None:
    """An identity is refused outside of its time, but for a difference of clocks"""
    name, repository = exchange.package()
    leeway = documented(30, crates=Instead(60, "a longer leeway"))
    # An expiry is the first moment at which it is over, the other two are the first at which it is good.
    edge = 0 if case == "expired" else 1
    taken = [
        exchange.show(name, exchange.jwt(**home(repository), **SKEWS[case](leeway - 1 + edge + off))) for off in (0, 1)
    ]
    assert [answer.status_code < 300 for answer in taken] == [True, False]


BAD: dict[str, dict[str, str]] = {
    "another repository": {"repository": "acme/other"},
    "another caller": {"workflow_ref": "HOME/.github/workflows/other.yml@refs/tags/v1.0.0"},
    "another called workflow": {"job_workflow_ref": "HOME/.github/workflows/other.yml@refs/tags/v1.0.0"},
    "another owner": {"repository_owner_id": "666"},
    "another environment": {"environment": "staging"},
    "no environment": {"environment": ""},
    "pull_request_target": {"event_name": "pull_request_target"},
    "workflow_run": {"event_name": "workflow_run"},
    "a runner of one's own": {"runner_environment": "self-hosted"},
    "repository in capitals": {"repository": "UPPER"},
    "environment in capitals": {"environment": "RELEASE"},
    "another commit's workflow": {"job_workflow_ref": "HOME/.github/workflows/release.yml@refs/tags/v9.9.9"},
    "the workflow by commit": {"job_workflow_ref": f"HOME/.github/workflows/release.yml@{'0' * 40}"},
}
CONFIG = "The Trusted Publishing config for repository `HOME` "
NOT_FOUND = "404 OIDC token exchange error - package not found"
TAKEN = "taken"
OF_CRATES = {
    "another repository": "400 No Trusted Publishing config found for repository `acme/other`.",
    "another caller": f"400 {CONFIG}does not match the workflow filename `other.yml` in the JWT. "
    "Expected workflow filenames: `release.yml`",
    "another owner": f"400 {CONFIG}does not match the repository owner ID (666) in the JWT. Expected owner IDs: 501. "
    "Please recreate the Trusted Publishing config to update the repository owner ID.",
    "another environment": f"400 {CONFIG}does not match the environment `staging` in the JWT. "
    "Expected environments: `release`",
    "no environment": f"400 {CONFIG}requires an environment, but the JWT does not specify one. "
    "Expected environments: `release`",
    **{
        event: f"400 Trusted Publishing does not support the `{event}` event trigger due to security concerns. "
        "Please use a different trigger such as `push`, `release`, or `workflow_dispatch`."
        for event in ("pull_request_target", "workflow_run")
    },
}
OF_NPM = {
    "another repository",
    "another caller",
    "another environment",
    "no environment",
    "a runner of one's own",
    "repository in capitals",
    "environment in capitals",
}
OF_PYPI = {
    "another repository",
    "another called workflow",
    "another owner",
    "another environment",
    "no environment",
    "pull_request_target",
    "another commit's workflow",
}


def unlike(ours: str, theirs: str, case: str) -> str:
    """Why a registry does not answer *case* as PyPI does."""
    if TAKEN not in (ours, theirs):
        return "it refuses as well, with a status and words of its own"
    return f"it {'takes what PyPI refuses' if theirs == TAKEN else 'refuses what PyPI takes'}: {case}"


@pytest.mark.parametrize("case", BAD)
def test_mismatch(exchange: Exchange, case: str, documented: Documented) -> None:
    """A registry compares the claims with the publisher: which, and how strictly, is its own"""
    name, repository = exchange.package()
    named = {"HOME": repository, "UPPER": repository.upper()}
    changes = {k: named.get(v, v.replace("HOME", repository)) for k, v in BAD[case].items()}
    answer = exchange.show(name, exchange.jwt(**{**home(repository), **changes}))
    words = {
        "pypi": "422 invalid-publisher valid token, but no corresponding publisher" if case in OF_PYPI else TAKEN,
        "crates": OF_CRATES.get(case, TAKEN),
        "npm": NOT_FOUND if case in OF_NPM else TAKEN,
    }
    kinds = {registry: told.partition(" ")[0] for registry, told in words.items()}
    instead = {registry: Instead(kind, unlike(kinds["pypi"], kind, case)) for registry, kind in kinds.items()}
    outcome = TAKEN if answer.status_code < 300 else said(answer).replace(repository, "HOME")
    assert outcome == words[exchange.column.key]
    assert outcome.partition(" ")[0] == documented(kinds["pypi"], **instead)


def test_renamed_repository(exchange: Exchange, documented: Documented) -> None:
    """Repository and workflow must be of one place"""
    name, repository = exchange.package()
    claims = home(repository)
    for claim in ("workflow_ref", "job_workflow_ref"):
        claims[claim] = claims[claim].replace(repository, "mallory/widget")
    outcome = TAKEN if exchange.show(name, exchange.jwt(**claims)).status_code < 300 else "refused"
    assert outcome == documented("refused", crates=Instead(TAKEN, "it compares the workflow's file name alone"))


def test_refused_for_the_port(exchange: Exchange, documented: Documented, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our adapter passes a refusal on with the registry's words and the claims that were shown"""
    name, _ = exchange.package()
    monkeypatch.setitem(exchange.issuer.claims, "repository", "acme/unknown")
    with pytest.raises(ExternalError) as caught:
        exchange.adapter.authorize(name, exchange.identity)
    error = caught.value
    assert (error.code, error.retryable, error.object) == ("trusted-publisher-refused", False, name)
    words, _, presented = error.found.partition("; presented ")
    assert presented.startswith("repository=acme/unknown, workflow_ref=acme/widget/.github/workflows/release.yml@")
    assert words == documented(
        "422 valid token, but no corresponding publisher",
        crates=Instead("400 No Trusted Publishing config found for repository `acme/unknown`.", REFUSES),
        npm=Instead(NOT_FOUND, REFUSES),
    )


@pytest.mark.parametrize("environment", ["release", ""], ids=["with", "without"])
def test_any_environment(exchange: Exchange, environment: str) -> None:
    """A publisher that names no environment takes any, and none"""
    name, repository = exchange.package(environment=None)
    assert exchange.show(name, exchange.jwt(**home(repository), environment=environment)).status_code < 300


def test_spent(exchange: Exchange, documented: Documented) -> None:
    """An identity is spent by success alone"""
    number = next(_numbers)
    name, repository = f"widget-{number}", f"acme/widget-{number}"
    identity = exchange.jwt(**home(repository))
    exchange.service.add_package(name)
    refused = exchange.show(name, identity)
    exchange.service.trust(name, repository, "release.yml", "release")
    answers = refused, exchange.show(name, identity), exchange.show(name, identity)
    assert [answer.status_code for answer in answers] == documented(
        [422, 200, 422],
        crates=Instead([400, 200, 400], "its own statuses"),
        npm=Instead([404, 201, 404], "its own statuses"),
    )
    assert said(answers[2]) == documented(
        "422 invalid-reuse-token invalid token: already used",
        crates=Instead("400 JWT has already been used", REFUSES),
        npm=Instead(NOT_FOUND, "whether it refuses a second use is not documented, and nothing relies on it"),
    )


def test_life(exchange: Exchange, documented: Documented) -> None:
    """A token ends by itself: after 15 minutes, 30 minutes, an hour"""
    name, repository = exchange.package()
    token = exchange.show(name, exchange.jwt(**home(repository))).json()["token"]
    life = documented(900, crates=Instead(1800, "half an hour"), npm=Instead(3600, "an hour"))
    exchange.clock += life - 0.25
    before = exchange.right(token, name)
    exchange.clock += 0.25
    assert (before, exchange.right(token, name)) == (True, False)


def test_scope(exchange: Exchange, documented: Documented) -> None:
    """A token is for every package of its publisher, and for no other"""
    name, repository = exchange.package()
    sibling, _ = exchange.package(repository)
    other, _ = exchange.package()
    token = exchange.show(name, exchange.jwt(**home(repository))).json()["token"]
    assert [exchange.right(token, package) for package in (name, sibling, other)] == documented(
        [True, True, False],
        npm=Instead([True, False, False], "its token is for the package that it was asked for alone"),
    )


def test_discarded(exchange: Exchange, documented: Documented) -> None:
    """Our adapter gives a token back where the registry can take it"""
    name, _ = exchange.package("acme/widget")
    credential = exchange.adapter.authorize(name, exchange.identity)
    before = exchange.right(credential.secret, name)
    exchange.adapter.discard(credential)
    exchange.adapter.discard(Credential("unknown", 0.0))
    after = "of use" if exchange.right(credential.secret, name) else "revoked"
    revokes = Instead("revoked", "it alone revokes; the others' tokens end by themselves")
    assert (before, after) == (True, documented("of use", crates=revokes))


def test_revoked(exchange: Exchange, documented: Documented) -> None:
    """A token is revoked as often as it is asked for, by crates.io alone"""
    name, repository = exchange.package()
    token = exchange.show(name, exchange.jwt(**home(repository))).json()["token"]
    url = f"{exchange.service.url}/api/v1/trusted_publishing/tokens"
    answers = [exchange.http.delete(url, headers={"Authorization": f"Bearer {token}"}).status_code for _ in range(2)]
    nowhere = "there is no such address; the token ends by itself"
    assert answers == documented([204, 204], pypi=Instead([404, 404], nowhere), npm=Instead([404, 404], nowhere))


def test_first_publication(exchange: Exchange, documented: Documented) -> None:
    """A publisher may wait for a package that does not exist yet at PyPI alone"""
    number = next(_numbers)
    name, repository = f"widget-{number}", f"acme/widget-{number}"
    try:
        exchange.service.trust(name, repository, "release.yml", "release")
    except ConfigError as error:
        outcome = error.code
    else:
        answer = exchange.show(name, exchange.jwt(**home(repository)))
        assert exchange.right(answer.json()["token"], name)
        outcome = "a token that creates the package"
    demands = "a person publishes the first version by hand"
    assert outcome == documented(
        "a token that creates the package",
        crates=Instead("publisher-without-package", demands),
        npm=Instead("publisher-without-package", demands),
    )
