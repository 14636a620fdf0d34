"""Makes the schemas of this folder from their originals, without the prose.

``python tests/contracts/schemas/make.py schema.json nuspec.xsd`` with paths of

* ``schema.json`` of ScoopInstaller/Scoop (Unlicense or MIT), which becomes ``scoop.json``;
* ``src/NuGet.Core/NuGet.Packaging/compiler/resources/nuspec.xsd`` of chocolatey/NuGet.Client (Apache-2.0; Copyright (c)
  .NET Foundation and Contributors, Chocolatey Software), which becomes ``nuspec.xsd``. Its ``{0}`` is the namespace
  that a manifest names, which NuGet fills in as well.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROSE = ("description", "examples", "title", "$id")


def scoop(original: str) -> str:
    """The JSON Schema with everything that validates and nothing that explains."""
    return json.dumps(_bare(json.loads(original)), indent=1, sort_keys=True) + "\n"


def _bare(value: Any, named: bool = False) -> Any:
    """*value* without prose; *named*: its keys are names of properties, not of the schema language."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _bare(item, key in ("properties", "patternProperties", "definitions") and not named)
        for key, item in value.items()
        if named or key not in PROSE
    }


def nuspec(original: str) -> str:
    """The XML Schema without comments."""
    bare = re.sub(r"<!--.*?-->", "", original.removeprefix("\ufeff"), flags=re.DOTALL)
    return "".join(f"{line.rstrip()}\n" for line in bare.splitlines() if line.strip())


def main() -> None:
    for path, make, name in zip(sys.argv[1:3], (scoop, nuspec), ("scoop.json", "nuspec.xsd"), strict=True):
        (HERE / name).write_text(make(Path(path).read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
