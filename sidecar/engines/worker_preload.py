"""What the fork server imports once, so that a new worker costs milliseconds. Never imported by the service itself."""

from sidecar.engines.tesseract import worker

worker.preload()
