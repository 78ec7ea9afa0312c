from tests.integration.sidecar.conftest import fake, govern, governed  # noqa: F401 - fixtures
