"""The job's identity, asked of the rehearsal world's issuer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import httpx
import pytest

from releaser.adapters.http import Client
from releaser.adapters.oidc import REQUEST_TOKEN, REQUEST_URL, ActionsIdentity, ambient, claims, exchange_refused
from releaser.adapters.reply import Reply
from releaser.errors import ConfigError, ExternalError
from releaser.rehearsal.issuer import Issuer, verify
from releaser.rehearsal.server import Faults, Journal

URL = "https://example.invalid/token?api-version=2.0"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    service = Issuer(tmp_path_factory.mktemp("issuer"), Journal(), Faults())
    service.start()
    yield service
    service.stop()


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def jwt_for(payload: object) -> str:
    encoded = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in ({"alg": "RS256"}, payload)
    ]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


@pytest.mark.parametrize("audience", ["pypi", "crates.io", "npm:127.0.0.1", "a&b=c d"])
def test_an_identity_is_for_the_audience_that_was_asked_for(issuer: Issuer, client: Client, audience: str) -> None:
    identity = ambient({REQUEST_URL: issuer.request_url, REQUEST_TOKEN: issuer.request_token}, client)
    assert verify(identity.token(audience), issuer, audience)["aud"] == audience


def test_every_identity_is_a_fresh_one(issuer: Issuer, client: Client) -> None:
    identity = ActionsIdentity(client, issuer.request_url, issuer.request_token)
    assert claims(identity.token("pypi"))["jti"] != claims(identity.token("pypi"))["jti"]


@pytest.mark.parametrize(
    "environ",
    [{}, {REQUEST_URL: URL}, {REQUEST_TOKEN: "opaque"}, {REQUEST_URL: "", REQUEST_TOKEN: ""}],
    ids=["neither", "no token", "no address", "both empty"],
)
def test_outside_of_a_job_there_is_no_identity(environ: dict[str, str], client: Client) -> None:
    with pytest.raises(ConfigError) as caught:
        ambient(environ, client)
    assert caught.value.code == "identity-missing"
    assert "id-token: write" in caught.value.hint
    assert "opaque" not in repr(vars(caught.value))


def test_a_refusal_shows_no_request_token(issuer: Issuer, client: Client) -> None:
    with pytest.raises(ExternalError) as caught:
        ActionsIdentity(client, issuer.request_url, "wrong-request-token").token("pypi")
    assert (caught.value.code, caught.value.retryable) == ("identity-refused", False)
    assert caught.value.found == "401 Bad credentials"
    assert "wrong-request-token" not in repr(vars(caught.value))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"value": jwt_for({"aud": "other"})}, "identity-refused", id="another audience"),
        pytest.param({"value": jwt_for({"aud": ["pypi", "other"]})}, "identity-refused", id="two audiences"),
        pytest.param({"value": jwt_for([])}, "identity-refused", id="no claims"),
        pytest.param({"value": "not a token"}, "answer-unreadable", id="not a token"),
        pytest.param({"value": jwt_for({"aud": "pypi"}) + "\r\nX: y"}, "answer-unreadable", id="header injection"),
        pytest.param({"count": 1}, "answer-unreadable", id="no value"),
    ],
)
def test_an_identity_that_is_not_what_was_asked_for_is_not_used(body: dict[str, object], code: str) -> None:
    client = Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=body)))
    with pytest.raises(ExternalError) as caught:
        ActionsIdentity(client, URL, "opaque").token("pypi")
    assert caught.value.code == code
    assert str(body.get("value"))[:40] not in repr(vars(caught.value))


@pytest.mark.parametrize(
    "jwt",
    ["", "x", "a.b.c", "a.e30", "a.W10.c", "a.!!!.c", "a." + base64.b64encode(b"[" * 9999).decode() + ".c", "é.é.é"],
)
def test_claims_of_garbage_are_empty(jwt: str) -> None:
    assert claims(jwt) == {}


def test_a_registrys_no_shows_the_claims_and_never_the_token() -> None:
    jwt = jwt_for({"repository": "acme/widget", "ref": "refs/tags/v1\u202e", "actor": "octo", "environment": ""})
    reply = Reply(URL, 422, "", {}, f'{{"message": "no publisher for {jwt}"}}'.encode())
    error = exchange_refused("PyPI", "widget", reply, jwt, "register it")
    assert error.found == "422 no publisher for [redacted]; presented repository=acme/widget, ref=refs/tags/v1"
    assert (error.code, error.retryable, error.hint) == ("trusted-publisher-refused", False, "register it")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_may_pass_is_no_refusal(status: int) -> None:
    error = exchange_refused("PyPI", "widget", Reply(URL, status, "", {}, b""), jwt_for({}), "register it")
    assert (error.code, error.retryable) == ("outside-unreachable", True)
