"""Writes openapi.json: what of GitHub's own OpenAPI description this project depends on, without its prose.

    npm install @octokit/openapi@23.0.2
    python -m tests.contracts.github.make_subset node_modules/@octokit/openapi

The description is that of the oldest API version it knows; ``x-github-breaking-changes`` lists what later versions
change. Raises SystemExit when those would already apply to the version that we pin.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from releaser.adapters.github_rest import VERSION
from tests.contracts.github.links import links

SUBSET = Path(__file__).with_name("openapi.json")
SOURCE = "generated/api.github.com.json"
METHODS = ("get", "put", "post", "patch", "delete")
OPERATIONS = frozenset(
    {
        "actions/create-workflow-dispatch",
        "actions/get-reviews-for-run",
        "checks/list-for-ref",
        "git/create-blob",
        "git/create-commit",
        "git/create-ref",
        "git/create-tag",
        "git/create-tree",
        "git/delete-ref",
        "git/get-commit",
        "git/get-ref",
        "git/get-tag",
        "git/list-matching-refs",
        "git/update-ref",
        "pulls/create",
        "pulls/get",
        "pulls/list",
        "pulls/update",
        "repos/check-immutable-releases",
        "repos/compare-commits-with-basehead",
        "repos/create-commit-status",
        "repos/create-dispatch-event",
        "repos/create-or-update-file-contents",
        "repos/create-release",
        "repos/delete-release",
        "repos/delete-release-asset",
        "repos/generate-release-notes",
        "repos/get",
        "repos/get-collaborator-permission-level",
        "repos/get-combined-status-for-ref",
        "repos/get-commit",
        "repos/get-content",
        "repos/get-latest-release",
        "repos/get-release",
        "repos/get-release-asset",
        "repos/get-release-by-tag",
        "repos/list-branches",
        "repos/list-commits",
        "repos/list-release-assets",
        "repos/list-releases",
        "repos/update-release",
        "repos/update-release-asset",
        "repos/upload-release-asset",
        "teams/get-membership-for-user-in-org",
        "users/get-authenticated",
        "users/get-by-username",
    }
)
WEBHOOKS = frozenset(
    {
        "create",
        "push",
        "release-created",
        "release-deleted",
        "release-edited",
        "release-prereleased",
        "release-published",
        "release-released",
        "release-unpublished",
        "repository-dispatch-sample.collected",
        "workflow-dispatch",
    }
)
PROSE = frozenset({"title", "description", "summary", "example", "examples", "externalDocs", "tags", "deprecated"})
NAMED = frozenset({"properties", "responses", "schemas", "parameters", "headers", "content", "mapping"})
"""Keys whose value is keyed by names of GitHub's choosing, of which any may look like prose."""
FLAGS = frozenset({"x-multi-segment"})


def main(package: Path) -> None:
    about = json.loads((package / "package.json").read_text())
    whole = json.loads((package / SOURCE).read_text())
    require_pinned_version(whole)
    subset = {
        "openapi": whole["openapi"],
        "info": {
            "title": f"{about['name']}: the part that releaser uses, without prose",
            "version": about["version"],
            "license": {**whole["info"]["license"], "x-text": (package / "LICENSE").read_text().splitlines()},
            "x-api-version": VERSION,
        },
        "servers": bare(whole["servers"]),
        "paths": operations(whole["paths"], OPERATIONS),
        "x-webhooks": operations(whole["x-webhooks"], WEBHOOKS, by_name=True),
    }
    subset["components"] = closure(subset, whole["components"])
    subset["x-links"] = shapes(whole)
    SUBSET.write_text(rendered(subset))


def require_pinned_version(whole: Any) -> None:
    """Every change that the description announces must be of a later version than ours."""
    for change in found(whole, "x-github-breaking-changes"):
        for version in (item["version"] for item in change):
            if version <= VERSION:
                raise SystemExit(f"the description lacks the changes of {version}, and we pin {VERSION}")


def operations(paths: Mapping[str, Any], wanted: frozenset[str], *, by_name: bool = False) -> dict[str, Any]:
    """Those of *paths* that are *wanted*, by ``operationId`` or by the name of the path itself."""
    kept: dict[str, Any] = {}
    missing = set(wanted)
    for path, item in paths.items():
        for method in METHODS:
            name = path if by_name else item.get(method, {}).get("operationId")
            if method in item and name in wanted:
                kept.setdefault(path, {})[method] = bare(item[method])
                missing.discard(name)
    if missing:
        raise SystemExit(f"the description has no {', '.join(sorted(missing))}")
    return kept


def shapes(whole: Any) -> dict[str, list[str]]:
    """The shapes of links in GitHub's examples of answers, by the field that they stand in."""
    kept: dict[str, set[str]] = {}
    for item in whole["paths"].values():
        answers = [b["responses"] for b in item.values() if isinstance(b, dict) and b.get("operationId") in OPERATIONS]
        for examples in found(answers, "examples"):
            for example in examples.values():
                name = example.get("$ref", "").rpartition("/")[2]
                value = whole["components"]["examples"][name]["value"] if name else example["value"]
                for place, shape in links(value):
                    kept.setdefault(str(place[-1]), set()).add(shape)
    return {field: sorted(known) for field, known in kept.items()}


def closure(subset: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that *subset* refers to, and what that refers to."""
    kept: dict[str, dict[str, Any]] = {}
    due = list(found(subset, "$ref"))
    while due:
        _, _, kind, name = due.pop().split("/")
        if name not in kept.setdefault(kind, {}):
            kept[kind][name] = bare(components[kind][name])
            due += found(kept[kind][name], "$ref")
    return kept


def bare(value: Any, *, named: bool = False) -> Any:
    """*value* without prose; *named* when its keys are names and no keywords."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, inner in value.items():
        if named or not (key in PROSE or (key.startswith("x-") and key not in FLAGS)):
            kept[key] = bare(inner, named=not named and key in NAMED)
    return kept


def found(value: Any, key: str) -> Iterator[Any]:
    """What stands under *key*, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


def rendered(subset: Mapping[str, Any]) -> str:
    """JSON with a line for each path and component, in order, so that a new version is a diff that can be read."""
    text = json.dumps(subset, sort_keys=True, indent=1, ensure_ascii=False)
    depth = 3  # of the entries of components; deeper ones are folded into the line they begin on
    return re.sub(rf"\n {{{depth + 1},}}|\n {{{depth}}}(?=[\]}}])", "", text) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
