"""What went wrong at GitHub, in our words: one ExternalError ``forge-…`` for everything githubkit and httpx raise.

Statuses: docs.github.com/rest/using-the-rest-api (troubleshooting, rate limits). 404 often means no permission.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from releaser.adapters.http import is_unsent
from releaser.adapters.redact import conceal, plain
from releaser.errors import ExternalError, ReleaserError

if TYPE_CHECKING:
    import httpx

MINUTE = 60.0
"""Seconds to wait for a limit that does not say how long (docs.github.com/rest, rate limits)."""


class RateLimited(ExternalError):
    """``forge-rate-limited``: nothing was done. ``wait`` is in seconds."""

    def __init__(self, repository: str, wait: float) -> None:
        super().__init__(
            "forge-rate-limited",
            "GitHub's rate limit is used up",
            object=repository,
            found=f"try again in {wait:.0f} s",
            hint="wait, then run the same command again",
        )
        self.wait = wait


def mapping(value: Any) -> Mapping[str, Any]:
    """*value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def unreadable(found: str) -> ExternalError:
    """The error for an answer that is not what GitHub's reference describes."""
    return ExternalError(
        "forge-answer-unreadable",
        "GitHub's answer is not what its reference describes",
        found=found,
        hint="look at https://www.githubstatus.com, then run the same command again",
    )


def failures() -> tuple[type[Exception], ...]:
    """What a request may raise: githubkit wraps httpx, except where a stream is read."""
    import httpx
    from githubkit.exception import GitHubException

    return (GitHubException, httpx.HTTPError, httpx.InvalidURL, ExternalError)


def is_limit(response: httpx.Response) -> bool:
    """A rate limit that has no header to say so."""
    if response.status_code == 429:
        return True
    return response.status_code == 403 and response.is_stream_consumed and b"rate limit" in response.content


class Failures:
    """Failures of requests about *repository*; *token* is blotted out wherever it would show."""

    def __init__(self, repository: str, token: str) -> None:
        self._repository = repository
        conceal(token)

    def translated(self, error: Exception, needs: str, *, write: bool) -> ExternalError:
        """*error* as ours. *needs* is the permission to ask for; a *write* without an answer has an unknown outcome.

        Errors of our own that passed through githubkit come out as they were, and are not worth a repetition.
        """
        import httpx
        from githubkit.exception import RateLimitExceeded, RequestError, RequestFailed

        if isinstance(error, ExternalError):
            return error
        if isinstance(error, RateLimitExceeded):
            return RateLimited(self._repository, error.retry_after.total_seconds())
        if isinstance(error, RequestFailed):
            return self._answered(error.response.raw_response, needs, write)
        if isinstance(error, httpx.HTTPStatusError):
            return self._answered(error.response, needs, write)
        cause = error.exc if isinstance(error, RequestError) else error
        if isinstance(cause, ExternalError) and write:
            return self._lost(f"{cause.message}: {cause.found}", unknown=True)
        if isinstance(cause, ReleaserError):
            raise cause
        return self._lost(f"{type(cause).__name__}: {cause}", unknown=write and not is_unsent(cause))

    def forbidden(self, found: str, needs: str) -> ExternalError:
        """The error for what the token does not permit, or does not show."""
        return ExternalError(
            "forge-forbidden",
            "the token may not do this, or there is no such thing",
            retryable=False,
            object=self._repository,
            found=found,
            wanted=needs,
            hint=f"give the token access to {self._repository} with `{needs}`",
        )

    def refused(self, what: str, found: str, hint: str = "") -> ExternalError:
        """The error for a request that GitHub declines for good."""
        return ExternalError(
            "forge-refused",
            f"GitHub declined to {what}",
            retryable=False,
            object=self._repository,
            found=found,
            hint=hint or "change what GitHub names, then run the same command again",
        )

    def moved(self, status: int) -> ExternalError:
        """The error for a repository that answers under another name: we act on no name but the given one."""
        return ExternalError(
            "forge-moved",
            "the repository has another name now",
            retryable=False,
            object=self._repository,
            found=f"HTTP {status}",
            hint="use the repository's present name",
        )

    def words(self, status: int, body: bytes) -> str:
        """GitHub's own words, on one line."""
        try:
            value = mapping(json.loads(body))
        except (ValueError, RecursionError):
            value = {}
        errors = value.get("errors")
        details = [mapping(e) for e in errors] if isinstance(errors, list) else []
        said = [str(value.get("message", ""))]
        said += [" ".join(str(d[k]) for k in ("resource", "field", "code", "message") if d.get(k)) for d in details]
        return self._redacted(f"HTTP {status} " + "; ".join(s for s in said if s)).strip()

    def _answered(self, response: httpx.Response, needs: str, write: bool) -> ExternalError:
        status = response.status_code
        found = self.words(status, response.content if response.is_stream_consumed else b"")
        if is_limit(response):
            return RateLimited(self._repository, MINUTE)
        if status == 401:
            return ExternalError(
                "forge-unauthorized",
                "GitHub does not accept the token",
                retryable=False,
                object=self._repository,
                found=found,
                wanted="a token that is valid now",
                hint="set GITHUB_TOKEN to a new one",
            )
        if status in (403, 404):
            return self.forbidden(found, needs)
        if status >= 500 or status == 408:
            return self._lost(found, unknown=write)
        return self.refused("answer", found)

    def _lost(self, found: str, *, unknown: bool) -> ExternalError:
        if unknown:
            return ExternalError(
                "forge-write-unknown",
                "GitHub did not say whether the change was made",
                object=self._repository,
                found=self._redacted(found),
                hint="run the same command again: it looks before it writes",
            )
        return ExternalError(
            "forge-unreachable",
            "GitHub cannot be reached",
            object=self._repository,
            found=self._redacted(found),
            hint="run the same command again later",
        )

    def _redacted(self, text: str) -> str:
        return plain(text)
