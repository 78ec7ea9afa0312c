"""Every setting of the controller: its meaning, unit, default and the reason for it. Pure.

Parsed once from a mapping (the environment, read by ``__main__``); nothing here reads the environment itself.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo

from controller import names
from sidecar.environment import SettingsError, names_of, parse_environment

__all__ = ["Settings", "SettingsError", "environment_names", "parse_settings"]

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]

EVERY_NAMESPACE = "*"
OWN_NAMES = ("CONTROLLER_", "MIRROR_", "SIDECAR_")
"""A variable that begins so and is no setting is a mistake, and is refused."""
DATABASES = ("mysql+aiomysql", "sqlite+aiosqlite")


class Settings(BaseModel):
    """One immutable value, passed to each part that needs it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False, hide_input_in_errors=True)

    # ── where ─────────────────────────────────────────────────────────────────────────────────────────────────
    watch_namespace: str = Field(
        "",
        alias="WATCH_NAMESPACE",
        description="Namespace whose profiles are served. Unset: the controller's own. `*`: every namespace, which "
        "needs the ClusterRole.",
    )
    host: str = Field(
        "127.0.0.1",
        alias="CONTROLLER_HOST",
        description="Address the ops port listens on. Loopback, so that a laptop exposes nothing; the image sets "
        "0.0.0.0.",
    )
    ops_port: Port = Field(
        8080,
        alias="CONTROLLER_OPS_PORT",
        description="Port of `/livez`, `/readyz` and `/metrics`. 0 takes a free one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="CONTROLLER_LOG_LEVEL", description="Least severe log line that is written."
    )

    # ── the sidecars ──────────────────────────────────────────────────────────────────────────────────────────
    sidecar_selector: str = Field(
        names.SIDECAR_SELECTOR,
        alias="SIDECAR_SELECTOR",
        min_length=1,
        description="Label selector of the sidecar pods. The controller changes no other pod.",
    )
    sidecar_api_port: Port = Field(
        8765,
        alias="SIDECAR_API_PORT",
        description="API port of the sidecars, at which the proof of isolation knocks.",
    )
    sidecar_ops_port: Port = Field(
        9090, alias="SIDECAR_OPS_PORT", description="Ops port of the sidecars, where `/profiles` is read."
    )
    auth_mode: Literal["api-key", "network"] = Field(
        "api-key",
        alias="OCR_AUTH_MODE",
        description="How the sidecars authenticate callers, as set for them. With `network` the isolation is proved.",
    )
    ocr_model: str = Field(
        "np-dms-ocr:latest",
        alias="OCR_MODEL",
        description="The sidecars' model, as set for them: which model a profile without `model` means.",
    )

    # ── rhythm ────────────────────────────────────────────────────────────────────────────────────────────────
    resync_s: Seconds = Field(
        30,
        alias="CONTROLLER_RESYNC_SECONDS",
        description="How often everything is reconciled without an event, in seconds: this repairs what a watch "
        "missed.",
    )
    watch_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        50,
        alias="CONTROLLER_WATCH_SECONDS",
        description="Length of one watch request, in seconds; the client gives up after 1.2 times that. So a "
        "watch without traffic is renewed after a minute, which is how often the API server sends "
        "bookmarks.",
    )
    request_timeout_s: Seconds = Field(
        10,
        alias="CONTROLLER_REQUEST_SECONDS",
        description="Deadline of one call to the API server, in seconds: a list of 1,000 profiles takes under one.",
    )
    sidecar_timeout_s: Seconds = Field(
        1,
        alias="CONTROLLER_SIDECAR_SECONDS",
        description="Deadline for a sidecar to answer `/profiles`, in seconds: it answers from memory.",
    )
    isolation_interval_s: Seconds = Field(
        240,
        alias="CONTROLLER_ISOLATION_SECONDS",
        description="How often the isolation is proved, in seconds; also at the start and for each new sidecar. "
        "Every 10 s while the port is open or nobody knows. An open port is reported within five minutes.",
    )
    isolation_timeout_s: Seconds = Field(
        3,
        alias="CONTROLLER_ISOLATION_TIMEOUT_SECONDS",
        description="How long a connection may take before it counts as refused, in seconds: two retransmissions. Once "
        "more for an answer.",
    )

    lease_s: Annotated[int, Field(ge=0, le=300)] = Field(
        0,
        alias="CONTROLLER_LEASE_SECONDS",
        description="With several controllers for the same namespace: after how many seconds of silence another one "
        "takes over, by a Lease. 0: this one works alone, and asks for no Lease.",
    )

    # ── the mirror ────────────────────────────────────────────────────────────────────────────────────────────
    database_url: SecretStr = Field(
        SecretStr(""),
        alias="DATABASE_URL",
        description="Database to mirror: `mysql+aiomysql://user:password@host/name` or `sqlite+aiosqlite:///file`. "
        "Unset: no mirror. The user needs SELECT on two tables.",
    )
    mirror_interval_s: Seconds = Field(
        2, alias="MIRROR_INTERVAL_SECONDS", description="How often the rows are read, in seconds."
    )
    mirror_ops_port: Port | None = Field(
        None,
        alias="MIRROR_OPS_PORT",
        description="Port of `/livez`, `/readyz` and `/metrics` of `mirror --output`, at `CONTROLLER_HOST`. Unset: "
        "none, so that nothing is opened on a host that does not ask for it; `compose.yaml` sets it. 0 takes a free "
        "one.",
    )
    mirror_models: str = Field(
        names.OCR_MODEL,
        alias="MIRROR_MODELS",
        description="Canonical models whose rows are mirrored, with commas between.",
    )
    mirror_prompt_type: str = Field(
        "ocr_extraction",
        alias="MIRROR_PROMPT_TYPE",
        min_length=1,
        max_length=50,
        description="Type of the active prompt that the profiles get. Kept from production, which also has "
        "`ocr_system`.",
    )
    mirror_user_prompt_type: str | None = Field(
        None,
        alias="MIRROR_USER_PROMPT_TYPE",
        min_length=1,
        max_length=50,
        description="Type of the active prompt whose template becomes the profiles' user prompt, the text beside the "
        "picture. Not set: the mirror leaves the user prompt alone.",
    )
    mirror_delete_after_s: float = Field(
        600,
        alias="MIRROR_DELETE_AFTER_SECONDS",
        ge=0,
        le=604_800,
        description="How long after its row a resource is deleted, in seconds; inactive until then. This leaves "
        "time to notice a mistake.",
    )

    @field_validator("watch_namespace")
    @classmethod
    def _is_namespace(cls, name: str) -> str:
        if name not in ("", EVERY_NAMESPACE) and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise ValueError("the name of one namespace, or `*`, is accepted")
        return name

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, url: SecretStr) -> SecretStr:
        value = url.get_secret_value()
        if value and urlsplit(value).scheme not in DATABASES:
            raise ValueError(f"a URL that begins with {' or '.join(DATABASES)} is accepted")
        return url

    @property
    def cluster_wide(self) -> bool:
        """Whether every namespace is served."""
        return self.watch_namespace == EVERY_NAMESPACE

    @property
    def mirrors(self) -> bool:
        """Whether there is a database to mirror."""
        return bool(self.database_url.get_secret_value())

    @property
    def mirrored_models(self) -> tuple[str, ...]:
        """Canonical models whose rows are mirrored."""
        return tuple(model.strip() for model in self.mirror_models.split(",") if model.strip())


def environment_names() -> dict[str, FieldInfo]:
    """Every setting by its name in the environment."""
    return names_of(Settings)


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from an environment; a variable with an empty value counts as unset.

    Raises:
        SettingsError: an unknown name with our prefix (the nearest known one is named), or a value out of its range.
    """
    return parse_environment(Settings, environ, prefixes=OWN_NAMES)
