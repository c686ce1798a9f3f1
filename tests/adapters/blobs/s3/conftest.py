import pytest


@pytest.fixture
def backend() -> str:
    return "s3"
