"""Every setting of the sidecar: its meaning, unit, default and the reason for it.

Parsed once from a mapping (the environment, read by ``__main__``); nothing here reads the environment itself.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

MIB = 1024 * 1024

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class SettingsError(Exception):
    """The environment holds something this service will not start with; the text says what and what is accepted."""


class Settings(BaseModel):
    """One immutable value, handed to whoever needs it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False, hide_input_in_errors=True)

    # ── ports and who may call ────────────────────────────────────────────────────────────────────────────────
    host: str = Field(
        "127.0.0.1",
        alias="OCR_HOST",
        description="Address both ports listen on. Loopback, so that a laptop exposes nothing; the image sets 0.0.0.0.",
    )
    port: Port = Field(
        8765,
        alias="OCR_PORT",
        description="API port, which the NetworkPolicy opens to the backend. 0 takes a free one.",
    )
    ops_port: Port = Field(
        9090,
        alias="OCR_OPS_PORT",
        description="Port of probes and metrics; apart from the API, so that a policy can open one without the other.",
    )
    auth_mode: Literal["api-key", "network"] = Field(
        "api-key",
        alias="OCR_AUTH_MODE",
        description="`api-key`: every call needs `X-API-Key`. `network`: the NetworkPolicy is the authentication.",
    )
    api_key: SecretStr = Field(
        SecretStr(""),
        alias="OCR_SIDECAR_API_KEY",
        description="The API key. No default: a key everybody knows is none. Better: the file below.",
    )
    api_key_file: Path | None = Field(
        None,
        alias="OCR_SIDECAR_API_KEY_FILE",
        description="File of API keys, one a line: the first is current, others are still accepted. Re-read when it "
        "changes, so that a key rotates without a restart. Wins over OCR_SIDECAR_API_KEY.",
    )

    # ── the engines ───────────────────────────────────────────────────────────────────────────────────────────
    engine: Literal["np-dms-ocr", "tesseract"] | None = Field(
        None,
        alias="OCR_ENGINE",
        description="What `auto` falls to for pages without a usable text layer. Unset: `np-dms-ocr` if OLLAMA_API_URL "
        "is set, else `tesseract`.",
    )
    fallback_engine: Literal["tesseract", "none"] = Field(
        "tesseract",
        alias="OCR_FALLBACK_ENGINE",
        description="Who reads when `np-dms-ocr` cannot: `tesseract` (named in the answer, with a warning) or "
        "`none` (503).",
    )
    ollama_api_url: str | None = Field(
        None,
        alias="OLLAMA_API_URL",
        description="URL of Ollama. This version does not call it: `np-dms-ocr` falls back as OCR_FALLBACK_ENGINE "
        "says.",
    )
    ocr_model: str = Field(
        "np-dms-ocr:latest", alias="OCR_MODEL", description="Model of the `np-dms-ocr` engine; shown by `/health`."
    )
    languages: str = Field(
        "tha+eng",
        alias="OCR_LANGUAGES",
        description="Languages Tesseract reads when a request names none. Thai first: `eng+tha` misreads Thai lines.",
    )
    tessdata_dir: Path | None = Field(
        None,
        alias="TESSDATA_PREFIX",
        description="Folder of Tesseract's `*.traineddata`. Unset: the usual places of the distributions are searched.",
    )
    dpi: int = Field(
        300,
        alias="OCR_DPI",
        ge=72,
        le=600,
        description="Resolution, in dots per inch, at which a page is rendered for Tesseract: what its models were "
        "trained on.",
    )

    # ── what a document may be ────────────────────────────────────────────────────────────────────────────────
    char_threshold: int = Field(
        100,
        alias="OCR_CHAR_THRESHOLD",
        ge=0,
        description="A page's text layer is used when it has more characters than this (and reads like text). Kept "
        "from production.",
    )
    max_document_bytes: int = Field(
        50 * MIB,
        alias="OCR_MAX_DOCUMENT_BYTES",
        ge=1,
        description="Largest document, in bytes: 50 MiB, kept from production.",
    )
    max_field_bytes: int = Field(
        MIB,
        alias="OCR_MAX_FIELD_BYTES",
        ge=1024,
        description="Most bytes of all form fields but the file, and of a JSON body. A prompt has 10,000 characters.",
    )
    page_limit: int = Field(
        500,
        alias="OCR_PAGE_LIMIT",
        ge=1,
        description="Most pages read for one request: at 1 s a page and core, 500 keep a caller waiting for minutes "
        "already.",
    )
    max_pages: int = Field(
        0,
        alias="OCR_MAX_PAGES",
        ge=0,
        description="Pages read when a request sets no maxPages: the first so many, with the warning `pages-limited` "
        "when there are more. 0: all, up to OCR_PAGE_LIMIT. Kept from production.",
    )
    max_page_pixels: int = Field(
        150_000_000,
        alias="OCR_MAX_PAGE_PIXELS",
        ge=1_000_000,
        description="Most pixels of a rendered page or of an image: an A0 drawing at 300 dpi has 139.5 million.",
    )
    max_stream_bytes: int = Field(
        32 * MIB,
        alias="OCR_MAX_STREAM_BYTES",
        ge=MIB,
        description="A PDF stream that is not an image and expands to more than this, over a hundredfold, is a bomb. "
        "Real drawings expand five to tenfold.",
    )
    max_system_prompt_length: int = Field(
        10_000,
        alias="MAX_SYSTEM_PROMPT_LENGTH",
        ge=1,
        description="Longest system prompt, in characters. Kept from production.",
    )
    upload_base: Path = Field(
        Path("/mnt/uploads"),
        alias="OCR_SIDECAR_UPLOAD_BASE",
        description="The only folder `POST /ocr` reads from.",
    )

    # ── work at the same time, and how long it may take ───────────────────────────────────────────────────────
    workers: int = Field(
        0,
        alias="OCR_WORKERS",
        ge=0,
        le=256,
        description="Worker processes that open, render and read pages. 0: one for each core this process may use.",
    )
    worker_memory_mb: int = Field(
        3072,
        alias="OCR_WORKER_MEMORY_MB",
        ge=512,
        description="Address space of one worker, in MiB: an A0 page at 300 dpi needs 1.5 GiB; a bomb ends its "
        "worker alone.",
    )
    worker_tasks: int = Field(
        2000,
        alias="OCR_WORKER_TASKS",
        ge=1,
        description="Tasks after which a worker is replaced, so that what the C libraries leak goes with it.",
    )
    worker_nice: int = Field(
        10,
        alias="OCR_WORKER_NICE",
        ge=0,
        le=19,
        description="How much lower the workers' priority is than the event loop's: `/health` answers while all "
        "cores read.",
    )
    max_queued_pages: int = Field(
        1000,
        alias="OCR_MAX_QUEUED_PAGES",
        ge=1,
        description="Pages that may wait or be read at a time; beyond that a document gets 429 with Retry-After. One "
        "whole document is always let in when nothing waits.",
    )
    max_documents: int = Field(
        256,
        alias="OCR_MAX_DOCUMENTS",
        ge=1,
        description="Documents that may be in work at a time, whatever their pages; those still arriving are not "
        "counted, so that slow senders keep nobody out.",
    )
    page_timeout_s: Seconds = Field(
        360, alias="OCR_TIMEOUT", description="Deadline of one page, in seconds. Kept from production."
    )
    open_timeout_s: Seconds = Field(
        60,
        alias="OCR_OPEN_SECONDS",
        description="Deadline for opening a document and reading its text layer, in seconds; 500 pages take under 2 s.",
    )
    receive_timeout_s: Seconds = Field(
        120,
        alias="OCR_RECEIVE_SECONDS",
        description="Deadline for a request's body to arrive, and for a stalled reader of a streamed answer, in "
        "seconds.",
    )
    shutdown_s: float = Field(
        20,
        alias="OCR_SHUTDOWN_SECONDS",
        ge=0,
        le=3600,
        description="How long running documents may go on after SIGTERM, in seconds: Kubernetes kills after "
        "30, and closing takes some, too.",
    )
    spool_dir: Path | None = Field(
        None,
        alias="OCR_SPOOL_DIR",
        description="Folder for documents while they are read. Unset: a folder of ours in the system's temporary "
        "folder.",
    )
    max_spool_bytes: int = Field(
        4096 * MIB,
        alias="OCR_MAX_SPOOL_BYTES",
        ge=MIB,
        description="Bytes of all documents in the spool together, those still arriving too; beyond that a document "
        "gets 429. 80 of the largest: a full volume would end the pod.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="OCR_LOG_LEVEL", description="Least severe log line that is written."
    )

    # ── for the governed engine, which this version does not have; known, so that production's environment starts ──
    active_profile: str | None = Field(
        None, alias="OCR_ACTIVE_PROFILE", description="LLM profile in use, for residency. No effect in this version."
    )
    residency_window_s: int = Field(
        120,
        alias="OCR_RESIDENCY_WINDOW_SECONDS",
        ge=0,
        description="How long the OCR model may stay in VRAM, in seconds. No effect in this version.",
    )
    profile_dir: Path | None = Field(
        None, alias="OCR_PROFILE_DIR", description="Folder of published profiles. No effect in this version."
    )
    default_profile: str = Field(
        "ocr-extract",
        alias="OCR_DEFAULT_PROFILE",
        description="Profile of a request that names none. No effect in this version.",
    )

    @field_validator("ollama_api_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError("a URL such as http://ollama:11434 is accepted")
        return url

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port == self.ops_port != 0:
            raise ValueError(f"OCR_PORT and OCR_OPS_PORT are both {self.port}: they must differ")
        return self

    @property
    def default_engine(self) -> str:
        """What ``auto`` falls to."""
        return self.engine or ("np-dms-ocr" if self.ollama_api_url else "tesseract")


def environment_names() -> dict[str, FieldInfo]:
    """Every setting by its name in the environment."""
    return {field.alias: field for field in Settings.model_fields.values() if field.alias}


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from an environment; a variable that is set to nothing counts as unset.

    Raises:
        SettingsError: an unknown ``OCR_*`` name (the nearest known one is named), or a value outside its range.
    """
    known = environment_names()
    for name, value in environ.items():
        _check_name(name, value, known)
    values: dict[str, Any] = {name: environ[name].strip() for name in known if environ.get(name, "").strip()}
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise SettingsError("; ".join(_sentence(error, values) for error in exc.errors())) from None


# Kubernetes puts the address of every Service of the namespace into every pod: NAME_SERVICE_HOST, NAME_SERVICE_PORT,
# NAME_PORT=tcp://…, NAME_PORT_8765_TCP_ADDR and so on. A Service called ocr-sidecar makes them start with OCR_.
_SERVICE_LINK_NAME = re.compile(r".+_SERVICE_(HOST|PORT(_.+)?)|.+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://.+")


def _check_name(name: str, value: str, known: Mapping[str, FieldInfo]) -> None:
    if not name.startswith("OCR_"):
        return
    is_port_link = name.endswith("_PORT") and _SERVICE_PORT_VALUE.fullmatch(value) is not None
    if name in known:
        if is_port_link:
            raise SettingsError(
                f"{name} is {value}: Kubernetes set it for a Service whose name clashes with this setting. "
                "Set enableServiceLinks: false on the pod"
            )
        return
    if is_port_link or _SERVICE_LINK_NAME.fullmatch(name):
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    raise SettingsError(f"{name} is not a setting; the nearest one is {nearest[0]}")


def _sentence(error: ErrorDetails, values: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    message = error["msg"].removeprefix("Value error, ")
    if not name:
        return message
    shown = "(hidden)" if "KEY" in name else values.get(name, "unset")
    return f"{name} is {shown}: {message[0].lower()}{message[1:]}"
