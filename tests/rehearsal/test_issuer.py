"""The rehearsal's identity provider."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from releaser.rehearsal import issuer
from releaser.rehearsal.issuer import Issuer, verify
from releaser.rehearsal.server import Faults, Journal


def test_jobs_that_ask_for_the_first_identities_at_once_get_good_ones(tmp_path: Path) -> None:
    issuer._key.cache_clear()
    service = Issuer(tmp_path, Journal(), Faults())
    service.start()
    try:
        together = threading.Barrier(8)

        def ask(_: int) -> str:
            together.wait()
            return service.token("pypi")

        with ThreadPoolExecutor(8) as pool:
            tokens = list(pool.map(ask, range(8)))
        assert [verify(token, service, "pypi")["aud"] for token in tokens] == ["pypi"] * 8
    finally:
        service.stop()
