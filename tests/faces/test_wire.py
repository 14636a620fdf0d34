"""What is built of the environment, and what waits until it is needed."""

from __future__ import annotations

import pytest

from releaser.adapters.oidc import REQUEST_TOKEN, REQUEST_URL
from releaser.errors import ExternalError
from releaser.faces.log import LineReporter
from releaser.faces.wire import Wiring


def test_an_identity_provider_whose_address_is_none_is_an_error_only_where_an_identity_is_needed() -> None:
    wiring = Wiring(LineReporter(), environ={REQUEST_URL: "https://[x", REQUEST_TOKEN: "opaque"})
    assert set(wiring.registries) == {"pypi", "crates.io", "npm"}
    with pytest.raises(ExternalError) as caught:
        wiring.identity.token("registry")
    assert (caught.value.code, caught.value.retryable) == ("host-not-allowed", False)
