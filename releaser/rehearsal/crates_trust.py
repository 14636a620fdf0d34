"""Trusted publishing at the rehearsal crate registry: configs, the identities that match them, minted tokens.

Order and wording follow rust-lang/crates.io src/controllers/trustpub/tokens/exchange/mod.rs; tokens follow
crates/crates_io_trustpub/src/access_token.rs.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import xor

from releaser.rehearsal.crates_upload import refusal
from releaser.rehearsal.issuer import CLAIMS, Claims, Issuer, TokenInvalid, verify

AUDIENCE = "crates.io"
LEEWAY = 60.0
PREFIX = "cio_tp_"
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits
_LENGTH = 31


@dataclass(frozen=True, slots=True)
class Publisher:
    """A trusted-publishing config of one crate; ``workflow`` is the top-level file of the run."""

    package: str
    repository: str
    workflow: str
    environment: str | None = None
    owner_id: str = CLAIMS["repository_owner_id"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a minted token allows, and the run it was minted for, which every version it publishes remembers."""

    crates: frozenset[str]
    run: dict[str, str]
    expires: float


def minted() -> str:
    """A new token: its prefix, 31 random characters and one that checks them."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{PREFIX}{text}{_check(text)}"


def well_formed(token: str) -> bool:
    text = token.removeprefix(PREFIX)
    return len(text) == _LENGTH + 1 and set(_ALPHABET).issuperset(text) and text[-1] == _check(text[:-1])


def _check(text: str) -> str:
    return _ALPHABET[reduce(xor, text.encode(), 0) % len(_ALPHABET)]


def identified(token: str, issuer: Issuer) -> Claims:
    """The claims of an identity token that *issuer* made for this registry."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise refusal(400, "Failed to decode JWT") from None
    if said.get("iss") != issuer.url:
        raise refusal(400, f"Unsupported JWT issuer: {said.get('iss')}")
    if "kid" not in header:
        raise refusal(400, "Missing JWT key ID")
    if header["kid"] != issuer.kid:
        raise refusal(400, "Invalid JWT key ID")
    try:
        return verify(token, issuer, AUDIENCE, leeway=LEEWAY)
    except TokenInvalid:
        raise refusal(400, "Failed to decode JWT") from None


def matching(claims: Claims, publishers: Iterable[Publisher]) -> list[Publisher]:
    """Those *publishers* that *claims* satisfy, or a refusal that names the first step at which none is left."""
    if claims["event_name"] in ("pull_request_target", "workflow_run"):
        raise refusal(
            400,
            f"Trusted Publishing does not support the `{claims['event_name']}` event trigger due to security concerns. "
            "Please use a different trigger such as `push`, `release`, or `workflow_dispatch`.",
        )
    repository, owner = str(claims["repository"]), str(claims["repository_owner_id"])
    environment = str(claims.get("environment", ""))
    run = re.search(r"([^/]+\.ya?ml)@", str(claims["workflow_ref"]))
    if run is None:
        raise refusal(400, "Unexpected `workflow_ref` value")
    workflow = run[1]
    about = f"The Trusted Publishing config for repository `{repository}`"

    left = [p for p in publishers if p.repository.lower() == repository.lower()]
    if not left:
        raise refusal(400, f"No Trusted Publishing config found for repository `{repository}`.")
    expected = ", ".join(p.owner_id for p in left)
    left = [p for p in left if p.owner_id == owner]
    if not left:
        raise refusal(
            400,
            f"{about} does not match the repository owner ID ({owner}) in the JWT. Expected owner IDs: {expected}. "
            "Please recreate the Trusted Publishing config to update the repository owner ID.",
        )
    expected = ", ".join(f"`{p.workflow}`" for p in left)
    left = [p for p in left if p.workflow == workflow]
    if not left:
        raise refusal(
            400,
            f"{about} does not match the workflow filename `{workflow}` in the JWT. "
            f"Expected workflow filenames: {expected}",
        )
    expected = ", ".join(f"`{p.environment}`" for p in left)
    left = [p for p in left if not p.environment or p.environment.lower() == environment.lower()]
    if not left:
        found = (
            f"does not match the environment `{environment}` in the JWT"
            if environment
            else "requires an environment, but the JWT does not specify one"
        )
        raise refusal(400, f"{about} {found}. Expected environments: {expected}")
    return left
