"""Every dialect; each is off unless OCR_DIALECTS names it, or all."""

from sidecar.api.dialects import docling, mistral, open_webui

DIALECTS = (docling.DIALECT, mistral.DIALECT, open_webui.DIALECT)
