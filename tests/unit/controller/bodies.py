"""OcrProfile bodies for the pure tests, as the API server stores them."""

from typing import Any

SPEC = {
    "canonicalModel": "np-dms-ocr",
    "isActive": True,
    "temperature": 0.1,
    "topP": 0.5,
    "repeatPenalty": 1.0,
    "numCtx": 8192,
    "keepAliveSeconds": 0,
    "retry": {"maxAttempts": 2, "temperatureStep": 0.1},
}


def body(name: str = "ocr-extract", spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Give a resource; ``status`` in metadata goes where it belongs."""
    status = metadata.pop("status", {})
    known = {
        "name": name,
        "namespace": "ocr",
        "uid": f"uid-{name}",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {
        "apiVersion": "ocr.np-dms.work/v1beta1",
        "kind": "OcrProfile",
        "metadata": known | metadata,
        "spec": SPEC | (spec or {}),
        "status": status,
    }
