"""Makes the clients of the model servers that the settings name, whichever API they have."""

from collections.abc import Mapping

from sidecar.engines.servers.chat import ModelClient
from sidecar.engines.servers.ollama import Ollama
from sidecar.engines.servers.openai import OpenAIServer
from sidecar.engines.servers.openai_request import ServerKind
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.settings import Settings


def model_clients(settings: Settings, names: BlockingPool | None = None) -> Mapping[str, ModelClient]:
    """Return a client of each server, by the server's public name; none where the settings name no server."""
    make = _openai if settings.model_api == "openai" else _ollama
    servers = zip(settings.model_server_names, settings.model_server_urls, strict=True)
    return {name: make(settings, url, names) for name, url in servers}


def _ollama(settings: Settings, url: str, names: BlockingPool | None) -> Ollama:
    return Ollama(url, settings.connect_s, names=names)


def _openai(settings: Settings, url: str, names: BlockingPool | None) -> OpenAIServer:
    kind = ServerKind(settings.model_server) if settings.model_server else None
    return OpenAIServer(url, settings.connect_s, kind, settings.model_key_file, names=names)
