"""The job's own identity: what a hosted job proves about itself, to be exchanged for a right to publish.

actions/toolkit packages/core/src/oidc-utils.ts; GitHub, "OpenID Connect reference".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from releaser.adapters.http import Client
from releaser.adapters.redact import conceal, plain
from releaser.adapters.reply import Reply
from releaser.errors import ConfigError, ExternalError

REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable
PRESENTED = ("repository", "workflow_ref", "job_workflow_ref", "environment", "ref", "event_name")
"""The claims that registries compare, and that an error may show."""


class _Issued(BaseModel):
    value: str = Field(pattern=r"^[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]*$", max_length=16384)


class ActionsIdentity:
    """`Identity` of a GitHub Actions job. The request token stays in here."""

    def __init__(self, client: Client, request_url: str, request_token: str) -> None:
        self._client = client
        self._url = request_url
        self._token = conceal(request_token)

    def token(self, audience: str) -> str:
        """A fresh identity token for *audience*; raises ExternalError ``identity-refused`` when there is none."""
        separator = "&" if "?" in self._url else "?"
        reply = self._client.request(
            "GET",
            f"{self._url}{separator}audience={quote(audience, safe='')}",
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
        )
        if reply.status != 200:
            raise _refused(f"{reply.status} {reply.said}", "200")
        jwt = conceal(reply.read(_Issued).value)
        if (found := claims(jwt).get("aud")) != audience:
            raise _refused(f"an identity for {found!r}", f"an identity for {audience!r}")
        return jwt


def ambient(environ: Mapping[str, str], client: Client) -> ActionsIdentity:
    """The identity of the job that *environ* belongs to; raises ConfigError ``identity-missing`` outside of one."""
    url, token = environ.get(REQUEST_URL, ""), environ.get(REQUEST_TOKEN, "")
    if not url or not token:
        raise ConfigError(
            "identity-missing",
            "this process has no identity to publish with",
            object=REQUEST_URL,
            found="not set" if not url else f"{REQUEST_TOKEN} is not set",
            wanted="the identity of a GitHub Actions job",
            hint="run `releaser publish` in the publish workflow, in a job with `permissions: id-token: write`",
        )
    return ActionsIdentity(client, url, token)


def claims(jwt: str) -> dict[str, Any]:
    """What *jwt* says, unverified: for messages, never for a decision. Empty when it cannot be read."""
    try:
        payload = jwt.split(".")[1]
        value = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}


def exchange_refused(registry: str, package: str, reply: Reply, jwt: str, hint: str) -> ExternalError:
    """A registry's "no" to an identity, in its own words, with the claims that it was shown.

    Trouble that may pass (429, 5xx) gives the retryable error of `Reply.unexpected` instead.
    """
    if reply.status == 429 or reply.status >= 500:
        return reply.unexpected()
    shown = claims(jwt)
    presented = ", ".join(f"{name}={plain(str(shown[name]), 120)}" for name in PRESENTED if shown.get(name))
    return ExternalError(
        "trusted-publisher-refused",
        f"{registry} does not let this job publish {package}",
        retryable=False,
        object=package,
        found=f"{reply.status} {reply.said}; presented {presented or 'no readable claims'}",
        wanted="a trusted publisher for exactly these claims",
        hint=hint,
    )


def exchange(client: Client, url: str, jwt_field: str, jwt: str) -> Reply:
    """Present *jwt* as the JSON field *jwt_field*; sent once, an identity is never shown twice."""
    return client.request(
        "POST",
        url,
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        content=json.dumps({jwt_field: jwt}).encode(),
    )


def _refused(found: str, wanted: str) -> ExternalError:
    return ExternalError(
        "identity-refused",
        "the job's identity provider gives no usable identity",
        retryable=False,
        object=REQUEST_URL,
        found=plain(found),
        wanted=wanted,
        hint="give the job `permissions: id-token: write` and start it again; the request token ends with the job",
    )
