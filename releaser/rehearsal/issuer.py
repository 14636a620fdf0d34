"""The identity provider of the rehearsal world: what a hosted job asks for a short-lived signed identity.

Claims, life time and addresses follow actions/toolkit packages/core/src/oidc-utils.ts and GitHub's OIDC reference.
"""

from __future__ import annotations

import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from releaser.rehearsal.server import Faults, Journal, Request, Response, Service, route

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

Claims = dict[str, str | int]

LIFE = 300
BACKDATED = 600

CLAIMS: Mapping[str, str] = {
    "repository": "acme/widget",
    "repository_id": "1001",
    "repository_owner": "acme",
    "repository_owner_id": "501",
    "repository_visibility": "public",
    "workflow": "release",
    "workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.0.0",
    "workflow_sha": "0" * 40,
    "job_workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.0.0",
    "job_workflow_sha": "0" * 40,
    "environment": "release",
    "ref": "refs/tags/v1.0.0",
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


class TokenInvalid(ValueError):
    """An identity that proves nothing."""


class Issuer(Service):
    """Mints identities for whoever holds ``request_token``.

    ``claims`` describes the job and may be changed between tokens. ``iss``, ``sub``, ``aud``, ``jti``, ``iat``,
    ``nbf`` and ``exp`` are computed unless *claims* names them; a claim set to the empty string is left out
    when it is ``environment``. ``clock`` tells seconds since the epoch, for both minting and verifying.
    """

    name = "oidc"
    kid: ClassVar[str] = "rehearsal-1"

    def __init__(self, root: Path, journal: Journal, faults: Faults) -> None:
        super().__init__(root, journal, faults)
        self._key = _key()
        self.request_token = secrets.token_urlsafe(32)
        self.claims: Claims = dict(CLAIMS)

    @property
    def request_url(self) -> str:
        """``ACTIONS_ID_TOKEN_REQUEST_URL``: it has a query already, so clients append ``&audience=``."""
        return f"{self.url}/token?api-version=2.0"

    @property
    def public_key(self) -> RSAPublicKey:
        return self._key.public_key()

    def token(self, audience: str, **claims: str | int) -> str:
        """A signed identity for *audience*, each time with a fresh ``jti``; *claims* go over ``self.claims``."""
        import jwt

        with self.lock:
            job = {**self.claims, **claims}
        if not job.get("environment"):
            job.pop("environment", None)
        issued = int(self.clock())
        computed: Claims = {
            "iss": self.url,
            "sub": _subject(job),
            "aud": audience,
            "jti": str(uuid.uuid4()),
            "iat": issued,
            "nbf": issued - BACKDATED,
            "exp": issued + LIFE,
        }
        return jwt.encode({**computed, **job}, self._key, algorithm="RS256", headers={"kid": self.kid})

    @route("GET", "/.well-known/openid-configuration", "configuration")
    def configuration(self, _request: Request) -> Response:
        return Response.json(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks",
                "subject_types_supported": ["public", "pairwise"],
                "response_types_supported": ["id_token"],
                "claims_supported": sorted({*CLAIMS, "iss", "sub", "aud", "jti", "iat", "nbf", "exp"}),
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
            }
        )

    @route("GET", "/.well-known/jwks", "jwks")
    def jwks(self, _request: Request) -> Response:
        from jwt.algorithms import RSAAlgorithm

        key: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(self.public_key))
        key.pop("key_ops", None)
        return Response.json({"keys": [{**key, "kid": self.kid, "use": "sig", "alg": "RS256"}]})

    @route("GET", "/token", "token")
    def mint(self, request: Request) -> Response:
        scheme, _, credential = request.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(credential.encode(), self.request_token.encode()):
            return Response.json({"message": "Bad credentials"}, status=401)
        with self.lock:
            owner = f"https://github.com/{self.claims.get('repository_owner', '')}"
        value = self.token(request.query.get("audience") or owner)
        return Response.json({"value": value, "count": len(value)})


@cache
def _key() -> RSAPrivateKey:
    """The signing key of all issuers in this process: making one takes longer than a whole world."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(public_exponent=65537, key_size=2048)


def _subject(job: Mapping[str, str | int]) -> str:
    """GitHub's default ``sub``; a colon inside a value is escaped."""
    repository = f"repo:{job.get('repository', '')}"
    if environment := job.get("environment"):
        return f"{repository}:environment:{str(environment).replace(':', '%3A')}"
    if job.get("event_name") == "pull_request":
        return f"{repository}:pull_request"
    return f"{repository}:ref:{str(job.get('ref', '')).replace(':', '%3A')}"


def verify(jwt: str, issuer: Issuer, audience: str, *, leeway: float = 30.0) -> Claims:
    """The claims of *jwt* when it is *issuer*'s, for exactly *audience*, and alive within *leeway* seconds.

    Whether its ``jti`` was spent is for the registry to remember. Raises TokenInvalid.
    """
    import jwt as pyjwt

    # Times and audience are compared below, by the issuer's clock and without accepting a list.
    options: Any = {f"verify_{claim}": False for claim in ("aud", "exp", "nbf", "iat")}
    try:
        claims: Claims = pyjwt.decode(jwt, issuer.public_key, algorithms=["RS256"], options=options)
        issued, begins, ends = (float(claims[claim]) for claim in ("iat", "nbf", "exp"))
    except (pyjwt.PyJWTError, LookupError, TypeError, ValueError) as exc:
        raise TokenInvalid(str(exc)) from exc
    if (claims.get("iss"), claims.get("aud")) != (issuer.url, audience) or not claims.get("jti"):
        raise TokenInvalid("not of this issuer for this audience")
    if not max(issued, begins) - leeway <= issuer.clock() < ends + leeway:
        raise TokenInvalid("outside of its time")
    return claims
