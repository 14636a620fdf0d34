"""How the rehearsal's GitHub words its answers and reads what it is sent.

Messages follow GitHub's REST reference; the lists of links are those its OpenAPI description requires.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from releaser.rehearsal.server import Refused, Request, Response

DOCUMENTATION = "https://docs.github.com/rest"

USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def error(status: int, message: str) -> Response:
    """GitHub's plain error."""
    return Response.json({"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}, status=status)


def created(value: dict[str, Any]) -> Response:
    """201 with what was made, and where it is."""
    return Response.json(value, status=201, Location=value["url"])


def invalid(resource: str, code: str, name: str = "", message: str = "") -> Refused:
    """422 ``Validation Failed`` with one error; *name* is the field."""
    parts = {"resource": resource, "code": code, "field": name, "message": message}
    return unprocessable("Validation Failed", errors=[{k: v for k, v in parts.items() if v}])


def unprocessable(message: str, **more: Any) -> Refused:
    """422: a validation error, which has no ``status`` in it, with a message of its own."""
    return Refused(Response.json({"message": message, "documentation_url": DOCUMENTATION, **more}, status=422))


NOT_FOUND = error(404, "Not Found")


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; refuses anything else as GitHub does."""
    try:
        value = json.loads(request.read() or b"{}")
    except ValueError as exc:
        raise Refused(error(400, "Problems parsing JSON")) from exc
    if not isinstance(value, dict):
        raise Refused(error(400, "Body should be a JSON object"))
    return value


def text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    """The string field *name*; refused when it is missing without a *default* or is no string."""
    value = body.get(name)
    if value is None:
        if default is None:
            raise unprocessable(f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return default
    if not isinstance(value, str):
        raise _mistyped(name, value, "a string")
    return value


def flag(body: dict[str, Any], name: str, default: bool) -> bool:
    """The boolean field *name*."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _mistyped(name, value, "a boolean")
    return value


def mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    """The object field *name*, empty when it is missing."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _mistyped(name, value, "an object")
    return value


def _mistyped(name: str, value: Any, wanted: str) -> Refused:
    return unprocessable(f"Invalid request.\n\nFor 'properties/{name}', {json.dumps(value)} is not {wanted}.")


def number(request: Request, name: str) -> int:
    """The path parameter *name* as a whole number; anything else is not found."""
    if not request.params[name].isdecimal():
        raise Refused(NOT_FOUND)
    return int(request.params[name])


def node_id(kind: str, identity: int | str) -> str:
    """The identifier of an object among all kinds of them, in the form that GitHub's own examples have."""
    return base64.b64encode(f"0{len(kind)}:{kind}{identity}".encode()).decode()
