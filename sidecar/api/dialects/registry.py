"""Every dialect; each is off unless OCR_DIALECTS names it, or all."""

from sidecar.api.dialects import open_webui

DIALECTS = (open_webui.DIALECT,)
