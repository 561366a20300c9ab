"""What the tests of the tool share: a Label Studio to work with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services, studio


@pytest.fixture(scope="session")
def label_studio(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[studio.TestServer]:
    """A running Label Studio of this test process. Leave it running; use projects of your own."""
    if not studio.named():
        services.require("Label Studio")
    cache = request.config.cache.mkdir("label-studio")
    with studio.running(tmp_path_factory.mktemp("label-studio"), cache) as server:
        yield server
