"""`releaser schema`: the JSON Schemas of policy and documents."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
from typing import TYPE_CHECKING, Any

from releaser.errors import Exit

if TYPE_CHECKING:
    from pydantic import BaseModel

NAMES = ("policy", "manifest", "plan", "status", "approval", "ledger")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES)


def run(options: argparse.Namespace) -> int:
    """Print one schema (JSON Schema 2020-12)."""
    print(json.dumps(schema(options.name), indent=2, sort_keys=True))
    return Exit.DONE


def schema(name: str) -> dict[str, Any]:
    """The schema of one document; the policy's names the registries and package managers that exist here."""
    from releaser.faces.log import LineReporter
    from releaser.faces.wire import Wiring, settings
    from releaser.model.approval import Approval
    from releaser.model.manifest import Manifest
    from releaser.model.plan import Plan
    from releaser.model.policy import Policy
    from releaser.model.record import Record
    from releaser.model.status import StatusReport

    models: dict[str, type[BaseModel]] = {
        "policy": Policy,
        "manifest": Manifest,
        "plan": Plan,
        "status": StatusReport,
        "approval": Approval,
        "ledger": Record,
    }
    found = models[name].model_json_schema()
    describe(found, models[name])
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if name == "policy":
        definitions = found["$defs"]
        definitions["Publication"]["properties"]["registry"]["enum"] = sorted(Wiring(LineReporter()).registries)
        kinds = settings()
        definitions["Downstream"]["properties"]["kind"]["enum"] = sorted(kinds)
        definitions["Downstream"].pop("additionalProperties", None)
        definitions["Downstream"]["allOf"] = [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": _keys(model)}
            for kind, model in sorted(kinds.items())
        ]
    return found


def describe(found: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the string below each key of *model* and its parts into the schema, as the key's description."""
    definitions = {model.__name__: found, **found.get("$defs", {})}
    module = ast.parse(inspect.getsource(inspect.getmodule(model) or model))
    for part in (n for n in module.body if isinstance(n, ast.ClassDef) and n.name in definitions):
        properties = definitions[part.name].get("properties", {})
        for key, text in zip(part.body, part.body[1:], strict=False):
            if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                name = ast.unparse(key.target).replace("_", "-")
                if name in properties and isinstance(text.value.value, str):
                    properties[name]["description"] = " ".join(text.value.value.split())


def _keys(settings: type[BaseModel]) -> dict[str, Any]:
    found = settings.model_json_schema()
    describe(found, settings)
    return {k: v for k, v in found.items() if k in ("properties", "required", "$defs")}
