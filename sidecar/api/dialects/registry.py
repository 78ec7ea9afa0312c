"""Every dialect; each is off unless OCR_DIALECTS names it, or all."""

from sidecar.api.dialects import mistral, open_webui

DIALECTS = (mistral.DIALECT, open_webui.DIALECT)
