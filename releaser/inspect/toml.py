"""TOML from strangers: `tomllib`, kept from documents that would take it hours."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MAX_PARTS = 32
"""Parts of a dotted key. `tomllib` walks them once for each part of a key and again for each line of a table."""

_OPAQUE = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{0,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{0,5}"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
"""A whole string or comment, in which a dot is a dot; linear, for nothing is tried twice."""


def read_toml(content: bytes) -> dict[str, Any]:
    """The document; raises ValueError or RecursionError for what is none, or has a key of too many parts."""
    text = content.decode()
    bare = _OPAQUE.sub("_", text)
    if any(run.count(".") >= MAX_PARTS for run in re.split(r"[\n=,{}\[\]]", bare)):
        raise ValueError(f"it has a key of more than {MAX_PARTS} parts")
    return tomllib.loads(text)
