"""Stand-ins for what the product talks to: Ollama, the API server, the hub, the network."""
