"""OCR, embedding and reranking for a document system, beside an LLM on one GPU.

The folders are the architecture. From top to bottom, who stands higher may import who stands lower, never back:
`cli`, `service`, `api`, `wire` and `engines`, `ocr` and `retrieval`, `documents`, `profiles` and `gpu`, `runtime` and
`telemetry`, `settings`, `errors` and `environment`, `validation`. docs/architecture.md has the picture.
"""

__version__ = "0.1.0"
