"""`releaser schema`: the JSON Schemas of policy and documents."""

from __future__ import annotations

import argparse
import json

from releaser.errors import Exit

NAMES = ("policy", "manifest", "plan", "status", "approval")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES)


def run(options: argparse.Namespace) -> int:
    """Print one schema (JSON Schema 2020-12)."""
    print(json.dumps(schema(options.name), indent=2, sort_keys=True))
    return Exit.DONE


def schema(name: str) -> dict[str, object]:
    """The schema of one document; the policy's names the registries and package managers that exist here."""
    from releaser.faces.log import LineReporter
    from releaser.faces.wire import Wiring, settings
    from releaser.model.approval import Approval
    from releaser.model.manifest import Manifest
    from releaser.model.plan import Plan
    from releaser.model.policy import Policy
    from releaser.model.status import StatusReport

    models = {"policy": Policy, "manifest": Manifest, "plan": Plan, "status": StatusReport, "approval": Approval}
    found = models[name].model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if name == "policy":
        definitions = found["$defs"]
        definitions["Publication"]["properties"]["registry"]["enum"] = sorted(Wiring(LineReporter()).registries)
        kinds = settings()
        definitions["Downstream"]["properties"]["kind"]["enum"] = sorted(kinds)
        definitions["Downstream"].pop("additionalProperties", None)
        definitions["Downstream"]["allOf"] = [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": _keys(model.model_json_schema())}
            for kind, model in sorted(kinds.items())
        ]
    return found


def _keys(settings: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in settings.items() if k in ("properties", "required", "$defs")}
