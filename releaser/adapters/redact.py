"""What strangers and secrets may show of themselves in our logs, errors and records."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

SHORTEST = 12  # characters of a secret; less would redact common words

_URLSAFE = str.maketrans("+/", "-_")
# By prefix (X190… is Base64 of "__token__", JWTs begin with eyJ), then by the header they stand in.
_SECRET = re.compile(
    r"(?:pypi-|(?<![A-Za-z])cio|npm_|gh[oprsu]_|github_pat_|X190b2tlbl9f)[A-Za-z0-9_~+/=-]{16,}"
    r"|eyJ[A-Za-z0-9._~+/=%-]{12,}"
    r"|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{20,}"
    r"|(?i:(?<=authorization: )|(?<=authorization:)|(?<=authorization=))[^\s,;]+(?: [^\s,;]+)?"
)
_concealed: set[str] = set()


def conceal(secret: str) -> str:
    """*secret*, which `redact` finds by its value from now on: as it is, in an address, and in Base64 (T40).

    Base64 depends on what stands before: each of three offsets gives other letters, of which those at the ends,
    shared with the neighbours, are left out.
    """
    if len(secret) >= SHORTEST:
        _concealed.update((secret, quote(secret, safe="")))
        for offset, shared in enumerate((0, 2, 3)):
            inner = base64.b64encode(bytes(offset) + secret.encode()).decode().rstrip("=")[shared:-1]
            _concealed.update((inner, inner.translate(_URLSAFE)))
    return secret


def redact(text: str) -> str:
    """*text* without what was concealed, and without anything that has the form of a credential: by its prefix or
    by the header it stands in.
    """
    for secret in tuple(_concealed):
        text = text.replace(secret, "[redacted]")
    return _SECRET.sub("[redacted]", text)


def plain(text: str, limit: int = 300) -> str:
    """A stranger's *text* for one line of ours: printable, redacted, at most *limit* characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    safe = redact(line)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
