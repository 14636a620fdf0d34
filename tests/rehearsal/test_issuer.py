"""Identities: what the issuer says about a job, and what a registry may believe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest

from releaser.rehearsal.issuer import Issuer, TokenInvalid, verify
from releaser.rehearsal.server import Faults, Journal

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    service = Issuer(tmp_path_factory.mktemp("oidc"), Journal(), Faults())
    service.clock = lambda: NOW
    service.start()
    yield service
    service.stop()


def ask(issuer: Issuer, audience: str, token: str | None = None) -> httpx.Response:
    token = issuer.request_token if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{issuer.request_url}&audience={audience}", headers=headers)


def test_a_job_gets_an_identity_for_the_audience_it_names(issuer: Issuer) -> None:
    claims = verify(ask(issuer, "pypi").json()["value"], issuer, "pypi")

    assert claims["aud"] == "pypi"
    assert claims["iss"] == issuer.url
    assert claims["sub"] == "repo:acme/widget:environment:release"
    assert claims["runner_environment"] == "github-hosted"
    assert claims["exp"] == NOW + 300
    assert all(isinstance(v, str) for k, v in claims.items() if k not in ("iat", "nbf", "exp"))


def test_no_two_identities_share_a_jti(issuer: Issuer) -> None:
    seen = {verify(issuer.token("pypi"), issuer, "pypi")["jti"] for _ in range(20)}
    assert len(seen) == 20


def test_without_an_audience_the_owner_is_meant(issuer: Issuer) -> None:
    answer = httpx.get(issuer.request_url, headers={"Authorization": f"Bearer {issuer.request_token}"})
    assert verify(answer.json()["value"], issuer, "https://github.com/acme")["repository"] == "acme/widget"


@pytest.mark.parametrize("token", ["", "guess"], ids=["no token", "another's token"])
def test_only_the_job_gets_an_identity(issuer: Issuer, token: str) -> None:
    answer = ask(issuer, "pypi", token)
    assert (answer.status_code, answer.json()) == (401, {"message": "Bad credentials"})


def test_the_published_key_verifies_without_knowing_the_issuer(issuer: Issuer) -> None:
    configuration = httpx.get(f"{issuer.url}/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(httpx.get(configuration["jwks_uri"]).json())
    token = issuer.token("npm:example.invalid")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    timeless: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}

    claims = jwt.decode(token, key.key, ["RS256"], audience="npm:example.invalid", issuer=issuer.url, options=timeless)
    assert claims["repository_id"] == "1001"


@pytest.mark.parametrize(
    ("claims", "subject"),
    [
        ({"environment": "eu:west"}, "repo:acme/widget:environment:eu%3Awest"),
        ({"environment": ""}, "repo:acme/widget:ref:refs/tags/v1.0.0"),
        ({"environment": "", "event_name": "pull_request"}, "repo:acme/widget:pull_request"),
        ({"sub": "repo:acme@501/widget@1001:environment:release"}, "repo:acme@501/widget@1001:environment:release"),
    ],
    ids=["colon in environment", "no environment", "pull request", "immutable form"],
)
def test_subject(issuer: Issuer, claims: dict[str, str], subject: str) -> None:
    assert verify(issuer.token("pypi", **claims), issuer, "pypi")["sub"] == subject


def foreign(issuer: Issuer) -> str:
    """The right claims under somebody else's key."""
    claims = jwt.decode(issuer.token("pypi"), options={"verify_signature": False})
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return jwt.encode(claims, generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": issuer.kid})


def altered(issuer: Issuer) -> str:
    """Claims of one identity under the signature of another."""
    header, _, signature = issuer.token("pypi").split(".")
    return ".".join([header, issuer.token("pypi", environment="").split(".")[1], signature])


def unsigned(issuer: Issuer) -> str:
    claims: dict[str, Any] = jwt.decode(issuer.token("pypi"), options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda i: i.token("pypi", exp=NOW - 31), "expired"),
        (lambda i: i.token("pypi", nbf=NOW + 31), "not-yet-valid"),
        (lambda i: i.token("pypi", iat=NOW + 31), "not-yet-valid"),
        (lambda i: i.token("pypi", exp="soon"), "malformed"),
        (lambda i: i.token("npm"), "audience"),
        (lambda i: i.token("pypi", iss="https://example.invalid"), "issuer"),
        (foreign, "signature"),
        (unsigned, "algorithm"),
        (altered, "signature"),
        (lambda _: "not.a.token", "malformed"),
    ],
    ids=[
        "expired",
        "not valid yet",
        "issued in the future",
        "expiry is no time",
        "other audience",
        "other issuer",
        "other key",
        "alg none",
        "claims altered",
        "no token at all",
    ],
)
def test_refused(issuer: Issuer, make: Callable[[Issuer], str], code: str) -> None:
    with pytest.raises(TokenInvalid) as caught:
        verify(make(issuer), issuer, "pypi")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "skewed", [{"exp": NOW - 29}, {"nbf": NOW + 29}, {"iat": NOW + 29}], ids=["just expired", "nearly valid", "ahead"]
)
def test_clocks_may_differ_by_the_leeway(issuer: Issuer, skewed: dict[str, int]) -> None:
    token = issuer.token("pypi", **skewed)

    assert verify(token, issuer, "pypi")["aud"] == "pypi"
    with pytest.raises(TokenInvalid):
        verify(token, issuer, "pypi", leeway=0)


def test_claims_changed_between_tokens_describe_the_next_job(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = issuer.token("pypi")
    monkeypatch.setitem(issuer.claims, "event_name", "pull_request_target")

    assert verify(before, issuer, "pypi")["event_name"] == "push"
    assert verify(issuer.token("pypi"), issuer, "pypi")["event_name"] == "pull_request_target"
