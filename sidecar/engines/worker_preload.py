"""What the fork server imports once, so that a new worker costs milliseconds. Never imported by the service itself."""

from sidecar.documents import images
from sidecar.engines.tesseract import worker

images.preload()
worker.preload()
