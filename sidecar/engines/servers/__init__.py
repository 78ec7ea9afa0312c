"""Clients of the servers that run the vision model: Ollama's own API, and the one that many share, OpenAI's.

What differs between them is data and pure functions (`*_request`, `*_answer`); `connection` does the rest for both.
Nothing here knows pages, engines or the GPU's guard.
"""
