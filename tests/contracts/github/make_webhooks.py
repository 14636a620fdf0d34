"""Writes webhooks.json: GitHub's published example payloads of the events that a job of ours may be started by.

    npm install @octokit/webhooks-examples@7.6.1
    python -m tests.contracts.github.make_webhooks node_modules/@octokit/webhooks-examples

Addresses and texts are left out, and examples that differ in nothing else are kept once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).with_name("webhooks.json")
SOURCE = "api.github.com/index.json"
EVENTS = ("create", "push", "release", "repository_dispatch", "workflow_dispatch")
TEXTS = frozenset({"body", "changes", "description", "head_commit", "commits", "message", "inputs", "url"})


def main(package: Path) -> None:
    about = json.loads((package / "package.json").read_text())
    published = {event["name"]: event["examples"] for event in json.loads((package / SOURCE).read_text())}
    recorded = {
        "source": f"{about['name']} {about['version']}, {about['license']}, github.com/octokit/webhooks",
        "events": {name: distinct(map(bare, published[name])) for name in EVENTS},
    }
    EXAMPLES.write_text(rendered(recorded))


def bare(value: Any) -> Any:
    """*value* without addresses and texts."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items() if k not in TEXTS and not k.endswith("_url")}
    return [bare(item) for item in value] if isinstance(value, list) else value


def distinct(values: Any) -> list[Any]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(value, sort_keys=True) for value in values)]


def rendered(recorded: Any) -> str:
    """JSON with one line for each example."""
    lines = [f'{{\n "source": {json.dumps(recorded["source"])},\n "events": {{']
    for name, examples in recorded["events"].items():
        lines.append(f'  "{name}": [')
        lines.append(",\n".join(f"   {json.dumps(example, sort_keys=True)}" for example in examples))
        lines.append("  ]" if name == EVENTS[-1] else "  ],")
    return "\n".join([*lines, " }\n}"]) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
