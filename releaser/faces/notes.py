"""The text of a draft that had none: what is in it and how to approve it. People edit it freely afterwards."""

from __future__ import annotations

from releaser.faces.log import size
from releaser.model.manifest import Manifest


def notes(manifest: Manifest) -> str:
    """Markdown for the release page."""
    lines = [
        f"**{manifest.version}** from commit `{manifest.tag.commit}`",
        "",
        "| file | size | sha256 |",
        "|---|---|---|",
        *(f"| `{a.name}` | {size(a.size)} | `{a.sha256}` |" for a in manifest.artifacts),
    ]
    if manifest.publications:
        lines += [
            "",
            "| registry | package | version |",
            "|---|---|---|",
            # In code, since @scope/name would call on the team of that name.
            *(f"| {p.registry} | `{p.package}` | `{p.version}` |" for p in manifest.publications),
        ]
    return "\n".join([*lines, "", f"Release manifest: `{manifest.digest()}`", ""])
