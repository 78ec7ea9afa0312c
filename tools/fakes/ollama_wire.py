"""The fake Ollama's wire format: requests are checked more strictly than by Ollama, answers are rendered like Ollama's.

Ollama ignores unknown keys and options. The fake refuses them: a parameter that the server would silently drop must
fail a test.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tools.fakes.ollama_models import Model

VERSION = "0.33.0"
IMAGE_TOKENS = 768  # what Ollama assumes for an image
NEVER_S = (2**63 - 1) / 1e9  # Ollama's endless keep_alive: the longest duration that Go can say, 292 years
IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
DURATION_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+")
OPTION_TYPES = {  # Ollama's words for pydantic's kinds of error
    "int_type": "type integer",
    "float_type": "type float32",
    "bool_type": "type boolean",
    "list_type": "type array",
    "string_type": "an array of strings",
}
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "qwen25vl",
    "families": ["qwen25vl"],
    "parameter_size": "3.8B",
    "quantization_level": "Q4_K_M",
}


class RequestError(ValueError):
    """A request that is refused; the text is for its client."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def parse_keep_alive(value: object) -> float:
    """Seconds to stay in memory after the last request: a number, or Go's duration such as `5m`; negative: forever."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        accepted = "a number of seconds or a duration such as 5m"
        raise ValueError(f"keep_alive is {value!r}, {accepted} is accepted")  # noqa: TRY004 - what pydantic catches
    seconds = _parse_duration(value) if isinstance(value, str) else float(value)
    return NEVER_S if seconds < 0 else seconds


def _parse_duration(text: str) -> float:
    if text in {"0", "+0", "-0"}:
        return 0.0
    if not DURATION.fullmatch(text):
        has_no_unit = re.fullmatch(r"[+-]?\d+\.?\d*", text)
        raise ValueError(f'time: {"missing unit in" if has_no_unit else "invalid"} duration "{text}"')
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    seconds = sum(float(number) * DURATION_UNITS_S[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def check_image(text: str) -> str:
    """Refuse what is not base64 of a PNG or JPEG file."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("illegal base64 data") from error
    if not content.startswith(IMAGE_STARTS):
        raise ValueError("Failed to load image or audio file")
    return text


def check_format(value: object) -> object:
    """Refuse a format that Ollama does not know: only "", "json" and a JSON schema are."""
    if value in {"", "json"} if isinstance(value, str) else isinstance(value, dict):
        return value
    raise ValueError(f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object')


class Strict(BaseModel):
    """No unknown keys, no conversions, no nulls: a null is a key that Ollama ignores."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Options(Strict):
    """Ollama's `api.Options`."""

    num_ctx: int = 0
    num_batch: int = 0
    num_gpu: int = 0
    main_gpu: int = 0
    use_mmap: bool = False
    num_thread: int = 0
    draft_num_predict: int = 0
    num_keep: int = 0
    seed: int = 0
    num_predict: int = 0
    top_k: int = 0
    top_p: float = 0
    min_p: float = 0
    typical_p: float = 0
    repeat_last_n: int = 0
    temperature: float = 0
    repeat_penalty: float = 0
    presence_penalty: float = 0
    frequency_penalty: float = 0
    stop: list[str] = []


class Message(Strict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str = ""
    images: list[Annotated[str, AfterValidator(check_image)]] = []
    tool_calls: list[dict[str, Any]] = []
    tool_name: str = ""
    tool_call_id: str = ""


class InferenceRequest(Strict):
    """What chat and generate have in common."""

    model: str = ""
    stream: bool = True
    format: Annotated[object, AfterValidator(check_format)] = ""
    keep_alive: Annotated[float | None, BeforeValidator(parse_keep_alive)] = None
    options: Options = Options()
    think: bool | Literal["high", "medium", "low", "max"] = False
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    @property
    def wants_runner(self) -> bool:
        """Whether the model is to be there for it; unloading asks no capability."""
        return self.keep_alive != 0

    def sent_options(self) -> dict[str, Any]:
        """The options that were in the request."""
        return self.options.model_dump(exclude_unset=True)


class ChatRequest(InferenceRequest):
    """`POST /api/chat`."""

    messages: list[Message] = []
    tools: list[dict[str, Any]] = []


class GenerateRequest(InferenceRequest):
    """`POST /api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] = []
    raw: bool = False
    images: list[Annotated[str, AfterValidator(check_image)]] = []


class EmbedRequest(InferenceRequest):
    """`POST /api/embed`."""

    input: str | list[str] = ""
    dimensions: int = 0


class ShowRequest(Strict):
    """`POST /api/show`."""

    model: str = ""
    verbose: bool = False


Parsed = TypeVar("Parsed", bound=Strict)


def parse_json(content: bytes) -> Any:
    """The body of a request.

    Raises:
        RequestError: it is empty, or not JSON.
    """
    if not content.strip():
        raise RequestError("missing request body")
    try:
        return json.loads(content)
    except ValueError as error:
        raise RequestError(f"invalid JSON: {error}") from error


def parse_request(kind: type[Parsed], body: object) -> Parsed:
    """The request, checked.

    Raises:
        RequestError: a key or option is unknown or of a wrong type.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        is_option = first["loc"][:1] == ("options",) and first["type"] != "extra_forbidden"
        raise RequestError(_render_refusal(first), 500 if is_option else 400) from error


def count_prompt(asked: ChatRequest) -> int:
    """How many tokens the prompt has, roughly as Ollama counts: one a word, many an image."""
    words = sum(len(message.content.split()) for message in asked.messages)
    return words + IMAGE_TOKENS * sum(len(message.images) for message in asked.messages)


def _render_refusal(error: Mapping[str, Any]) -> str:
    """One validation error as one line, options in Ollama's words."""
    where = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        return f'unknown option "{where[1]}"' if where[0] == "options" else f'unknown field "{".".join(where)}"'
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if where[:1] == ["options"] and len(where) > 1:
        return f'option "{where[1]}" must be of {OPTION_TYPES.get(error["type"], "another type")}'
    return f"{'.'.join(where) or 'body'}: {error['msg']}"


def full_name(name: str) -> str:
    """The name as Ollama keeps it: with a tag, whose default is `latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def render_time(moment: datetime) -> str:
    """RFC 3339 with nine digits, as Go prints it: some parsers know six only."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}123Z"


def render_line(value: Mapping[str, Any]) -> bytes:
    """One line of NDJSON: Thai as it is, and <, > and & escaped, as Go's encoder does."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(sign, escaped)
    return text.encode() + b"\n"


def render_message(content: str, thinking: str = "") -> dict[str, str]:
    """The message of an answer."""
    message = {"role": "assistant", "content": content}
    return message | {"thinking": thinking} if thinking else message


def render_metrics(total_s: float, load_s: float, eval_s: float, prompt_tokens: int, tokens: int) -> dict[str, int]:
    """Counts, and durations in ns, of the last line. What is zero is left out, as Go's `omitempty` does."""
    metrics = {
        "total_duration": int(total_s * 1e9),
        "load_duration": max(int(load_s * 1e9), 1),
        "prompt_eval_count": prompt_tokens,
        "prompt_eval_duration": prompt_tokens * 1000,
        "eval_count": tokens,
        "eval_duration": int(eval_s * 1e9),
    }
    return {name: value for name, value in metrics.items() if value}


def digest(name: str) -> str:
    """The digest of a model; the same for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()


def render_installed(model: Model, modified_at: datetime) -> dict[str, Any]:
    """A model in `/api/tags`."""
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": render_time(modified_at),
        "size": model.size_mb << 20,
        "digest": digest(model.name),
        "details": DETAILS | {"context_length": model.max_context, "embedding_length": 2048},
        "capabilities": list(model.capabilities),
    }


def render_resident(model: Model, size_vram_mb: int, context_length: int, expires_at: datetime) -> dict[str, Any]:
    """A model in `/api/ps`."""
    return {
        "name": model.name,
        "model": model.name,
        "size": model.size_mb << 20,
        "digest": digest(model.name),
        "details": DETAILS,
        "expires_at": render_time(expires_at),
        "size_vram": size_vram_mb << 20,
        "context_length": context_length,
    }


def render_shown(model: Model, modified_at: datetime) -> dict[str, Any]:
    """The answer of `/api/show`."""
    return {
        "modelfile": f"# FROM {model.name}\n",
        "parameters": "temperature                    0.1",
        "template": "{{ .Prompt }}",
        "details": DETAILS,
        "model_info": {"general.architecture": "qwen25vl", "qwen25vl.context_length": model.max_context},
        "capabilities": list(model.capabilities),
        "modified_at": render_time(modified_at),
    }
