"""Fakes of the systems that the product uses: Ollama, the API server, the hub, the network."""
