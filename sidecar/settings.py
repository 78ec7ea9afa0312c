"""Every setting of the sidecar: its meaning, unit, default and the reason for it.

Parsed once from a mapping (the environment, read by ``__main__``); nothing here reads the environment itself, except
for the home folder that ``~`` stands for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo

from sidecar.environment import SettingsError, names_of, parse_environment
from sidecar.urls import check_servers, check_url, has_credentials, listed, public_url, without_credentials
from sidecar.webhook_hosts import AllowedHost, callback_hosts

__all__ = ["MAY_BE_EMPTY", "MIB", "Settings", "SettingsError", "environment_names", "parse_settings"]

MIB = 1024 * 1024

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
EngineName = Annotated[str, Field(max_length=64)]
"""Checked where the engines are: `service.engines.check_engines`."""
NO_FALLBACK = "none"
JOBS_OFF, JOBS_EMBEDDED = "off", "embedded"


MAY_BE_EMPTY = frozenset({"BGE_M3_MODEL", "RERANKER_MODEL", "OCR_RAPIDOCR_THAI_URL"})
"""Settings that have a default, and that an empty value switches off."""


class NamedModel(NamedTuple):
    """A model to embed or rerank with: what it does, where it is, and its name for callers."""

    kind: str
    source: str
    name: str


class Settings(BaseModel):
    """One immutable value, passed to each part that needs it."""

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
    max_connections: int = Field(
        1024,
        alias="OCR_MAX_CONNECTIONS",
        ge=1,
        le=100_000,
        description="Connections of the API port at a time, fewer where the process may not have two descriptors for "
        "each and 256 more. One more takes the place of the one that is idle for longest, else it waits.",
    )
    head_s: Seconds = Field(
        75,
        alias="OCR_HEAD_SECONDS",
        description="How long a connection may be open without a whole head of a request, in seconds: the first or, "
        "after an answer, the next. Callers that keep connections should keep them shorter.",
    )
    stall_s: Seconds = Field(
        60,
        alias="OCR_STALL_SECONDS",
        description="How long the event loop may stand still before `/livez` says that it is dead, in seconds.",
    )
    auth_mode: Literal["api-key", "network"] = Field(
        "api-key",
        alias="OCR_AUTH_MODE",
        description="`api-key`: every call needs `X-API-Key`. `network`: the NetworkPolicy is the authentication.",
    )
    api_key: SecretStr = Field(
        SecretStr(""),
        alias="OCR_SIDECAR_API_KEY",
        description="The API key. No default, because a key that everybody knows protects nothing. Better: the "
        "file below.",
    )
    api_key_file: Path | None = Field(
        None,
        alias="OCR_SIDECAR_API_KEY_FILE",
        description="File of API keys, one per line, each with a name if you like (`name: key`): the first is current, "
        "others are still accepted. Re-read when it changes, so that a key rotates without a restart. Wins over "
        "OCR_SIDECAR_API_KEY.",
    )
    dialects: str = Field(
        "all",
        alias="OCR_DIALECTS",
        description="Other services' routes for documents that are served: `all`, `none`, or the names of dialects "
        "with commas between them. A dialect that is off is a 404, as if it were not there.",
    )

    # ── the engines ───────────────────────────────────────────────────────────────────────────────────────────
    engine: EngineName | None = Field(
        None,
        alias="OCR_ENGINE",
        description="Engine that `auto` uses for pages without a good text layer. Unset: `np-dms-ocr` if "
        "OLLAMA_API_URL (or OCR_MODEL_URL) is set, else `tesseract`.",
    )
    fallback_engine: EngineName = Field(
        "tesseract",
        alias="OCR_FALLBACK_ENGINE",
        description="Engine that reads a page if `np-dms-ocr` cannot, or gives no whole page: `tesseract` (named "
        "in the answer, with a warning) or `none` (the error, or the incomplete text with its flag).",
    )
    second_engine: EngineName = Field(
        "rapidocr",
        alias="OCR_SECOND_ENGINE",
        description="Engine that reads once more the pages of `auto` that another engine read doubtfully, if it knows "
        "their language; the better text is taken. `rapidocr` (if it is installed) or `none`.",
    )
    rapidocr_dir: Path = Field(
        Path("~/.cache/ocr-sidecar"),
        alias="OCR_RAPIDOCR_DIR",
        description="Folder of RapidOCR's Thai model, which its wheel lacks: `fetch` puts it there, and `serve` looks "
        "for it when it starts.",
    )
    rapidocr_thai_url: str = Field(
        "https://www.modelscope.cn/models/RapidAI/RapidOCR/resolve/v3.10.0/onnx/PP-OCRv5/rec/th_PP-OCRv5_rec_mobile.onnx",
        alias="OCR_RAPIDOCR_THAI_URL",
        description="Where `fetch` downloads RapidOCR's Thai model. Its content is checked, wherever it comes from. "
        "Nothing: it is not fetched.",
    )
    languages: str = Field(
        "tha+eng",
        alias="OCR_LANGUAGES",
        description="Languages read when a request names none, by engines that take some.",
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

    # ── the model, and the GPU it shares with an LLM that comes first ─────────────────────────────────────────
    ollama_api_url: str | None = Field(
        None,
        alias="OLLAMA_API_URL",
        description="URL of Ollama's native API, such as `http://ollama:11434`. Unset: there is no engine "
        "`np-dms-ocr`, and OCR_FALLBACK_ENGINE reads instead.",
    )
    model_api: Literal["ollama", "openai"] = Field(
        "ollama",
        alias="OCR_MODEL_API",
        description="How the model server is talked to. `ollama`: Ollama's native API, which alone is told how long a "
        "model stays in memory. `openai`: the OpenAI-compatible API of vLLM, llama.cpp's server and others.",
    )
    model_url: str | None = Field(
        None,
        alias="OCR_MODEL_URL",
        description="Base URL of the OpenAI-compatible API, with its `/v1`, such as `http://vllm:8000/v1`; needed with "
        "OCR_MODEL_API=openai, which does not look at OLLAMA_API_URL. Several servers with commas between them: each "
        "page goes to the least busy one.",
    )
    model_key_file: Path | None = Field(
        None,
        alias="OCR_MODEL_KEY_FILE",
        description="File with the key that the OpenAI-compatible server wants, as `Authorization: Bearer`. Read again "
        "every 2 s, so that a key rotates without a restart. Unset: no key is sent.",
    )
    model_server: Literal["llama.cpp", "vllm", "generic"] | None = Field(
        None,
        alias="OCR_MODEL_SERVER",
        description="Which server answers at OCR_MODEL_URL: it decides on names of parameters. Unset: each server's "
        "list of models tells; one that is not known is `generic`, and is sent no `repeat_penalty`.",
    )
    ocr_model: str = Field(
        "np-dms-ocr:latest",
        alias="OCR_MODEL",
        min_length=1,
        description="Model of the engine `np-dms-ocr`, where the profile names none; shown by `/health`.",
    )
    recipe: str | None = Field(
        None,
        alias="OCR_RECIPE",
        max_length=4096,
        description="Recipe of the model where the profile names none: `generic`, `typhoon-ocr-1.0`, "
        "`typhoon-ocr-1.5`, `glm-ocr`, `dots.ocr`, `deepseek-ocr`, `olmocr-2`, `qwen-vl`, or the path of a YAML file "
        "with one of your own. Unset: the one whose models are called as the model is, else `generic`.",
    )
    parallel_pages: int = Field(
        4,
        alias="OCR_PARALLEL_PAGES",
        ge=1,
        le=64,
        description="Model calls at a time, for each model server. Ollama itself has no limit; set it to its "
        "OLLAMA_NUM_PARALLEL or slightly more, because further calls only wait there.",
    )
    model_logprobs: Literal["off", "on"] = Field(
        "off",
        alias="OCR_MODEL_LOGPROBS",
        description="Whether the model server is asked for the probability of each token, from which a page's "
        "`quality` is made: Ollama from 0.12.11 on, llama.cpp's server and vLLM tell them. `off`: what it costs was "
        "not measured, and some servers refuse it.",
    )
    image_longest_side: int = Field(
        1800,
        alias="OCR_IMAGE_LONGEST_SIDE",
        ge=256,
        le=8192,
        description="Longest side of the image that the model gets, in pixels: an A4 page then has about 2,800 "
        "image tokens, and 8-point text is still legible.",
    )
    connect_s: Seconds = Field(
        5,
        alias="OCR_CONNECT_SECONDS",
        description="Deadline for a connection to the model server, in seconds.",
    )
    first_token_s: Seconds = Field(
        180,
        alias="OCR_FIRST_TOKEN_SECONDS",
        description="Deadline for a page's first token, in seconds: the model is loaded in 60 to 70 s, and other "
        "calls may come first.",
    )
    profile_dir: Path | None = Field(
        None,
        alias="OCR_PROFILE_DIR",
        description="Folder of published profiles, `<name>.json`: the mounted ConfigMap, or any folder. Read "
        "every 250 ms. Unset: there are none.",
    )
    default_profile: str = Field(
        "ocr-extract",
        alias="OCR_DEFAULT_PROFILE",
        min_length=1,
        description="Profile of a request that names none. Without it the model's own file decides, with the warning "
        "`profile-missing`.",
    )
    active_profile: str | None = Field(
        None,
        alias="OCR_ACTIVE_PROFILE",
        description="LLM profile in use, where a request does not say: with `deep-analysis` or `large-context` the "
        "OCR model leaves the GPU after each call. Kept from production.",
    )
    residency_window_s: int = Field(
        120,
        alias="OCR_RESIDENCY_WINDOW_SECONDS",
        ge=0,
        le=86400,
        description="How long the OCR model may stay in VRAM after a call, in seconds, while there is room. Kept from "
        "production.",
    )
    headroom_threshold_mb: int = Field(
        3000,
        alias="VRAM_HEADROOM_THRESHOLD_MB",
        ge=0,
        description="If less VRAM than this is free, in MiB, without counting the OCR model itself, the OCR model"
        " leaves after each call. Kept from production.",
    )
    main_model_pressure_mb: int = Field(
        12000,
        alias="GPU_MAIN_MODEL_PRESSURE_THRESHOLD_MB",
        ge=0,
        description="If all others together use more VRAM than this, in MiB, the OCR model leaves after each "
        "call. Kept from production.",
    )
    gpu_total_mb: int = Field(
        16384,
        alias="GPU_TOTAL_VRAM_MB",
        ge=1,
        description="VRAM of the card, in MiB, if NVML cannot be read. Kept from production.",
    )
    vram_source: Literal["auto", "ollama"] = Field(
        "auto",
        alias="OCR_VRAM_SOURCE",
        description="Source of the GPU's readings. `auto`: NVML if there is a driver, else Ollama. `ollama`: only"
        " Ollama, for one that runs on another machine.",
    )
    gpu_index: int = Field(
        0, alias="OCR_GPU_INDEX", ge=0, description="NVML's number of the GPU that Ollama uses, of those this pod sees."
    )
    on_pressure: Literal["tesseract", "refuse", "evict", "lease"] = Field(
        "tesseract",
        alias="OCR_ON_PRESSURE",
        description="What happens to a page if loading the OCR model would evict another model: `tesseract` reads"
        " it (if OCR_FALLBACK_ENGINE allows), `refuse`: 503 with Retry-After, `evict`: the other "
        "model is evicted, `lease`: the GPU is borrowed for a batch of pages, and the model loaded again.",
    )
    pressure_wait_s: float = Field(
        0,
        alias="OCR_PRESSURE_WAIT_SECONDS",
        ge=0,
        le=3600,
        description="How long a page waits for room before OCR_ON_PRESSURE applies, in seconds.",
    )
    lease_wait_s: Seconds = Field(
        60,
        alias="OCR_LEASE_WAIT_SECONDS",
        description="How long a page waits for the GPU to be borrowed, in seconds, most of it for the LLM to be idle; "
        "then it goes as with `tesseract`. With OCR_ON_PRESSURE=lease.",
    )
    lease_s: float = Field(
        120,
        alias="OCR_LEASE_SECONDS",
        ge=1,
        le=3600,
        description="How long the LLM may be away, in seconds; half a minute longer until it is back. What is not "
        "read by then waits for the next time. Long leases read more pages for each load of the LLM.",
    )
    lease_min_pages: int = Field(
        1,
        alias="OCR_LEASE_MIN_PAGES",
        ge=1,
        description="The GPU is borrowed once so many pages wait for it. Fewer wait for OCR_LEASE_WAIT_SECONDS in "
        "vain.",
    )
    required_vram_mb: int = Field(
        4000,
        alias="OCR_REQUIRED_VRAM_MB",
        ge=0,
        description="VRAM that the OCR model needs to be loaded and to read a page, in MiB, until it has been "
        "measured.",
    )
    state_dir: Path | None = Field(
        None,
        alias="OCR_STATE_DIR",
        description="Folder for what outlives the process: how much VRAM the OCR model was seen to need, and which "
        "models are to be loaded again. Unset: it is learned anew after each start; a lease needs it.",
    )

    # ── embedding and reranking ───────────────────────────────────────────────────────────────────────────────
    bge_m3_model: str = Field(
        "BAAI/bge-m3",
        alias="BGE_M3_MODEL",
        description="Model of `/embed`: a folder, or a name on the Hugging Face hub, taken from the cache "
        "(`HF_HOME`) or else from the hub. Empty: there is no `/embed`, and without both models no "
        "torch in this process.",
    )
    reranker_model: str = Field(
        "BAAI/bge-reranker-large",
        alias="RERANKER_MODEL",
        description="Model of `/rerank`, likewise.",
    )
    retrieval_models: str = Field(
        "",
        alias="RETRIEVAL_MODELS",
        description="Models that requests choose by `model`, in place of the two above: `embed:` or `rerank:` and a "
        "folder or a name on the hub, with commas between them. The first of a kind is the default; the others are "
        "loaded by their first call. A kind that is not named keeps its setting above. Empty: `model` is ignored.",
    )
    bge_keep_alive_s: float = Field(
        0,
        alias="BGE_KEEP_ALIVE_SECONDS",
        ge=0,
        le=86400 * 366,
        description="How long a model of `/embed` or `/rerank` that nobody uses stays in memory and on the GPU, in "
        "seconds; the next call loads it again and waits for that. 0: for ever. The old service had 300.",
    )
    retrieval_timeout_s: Seconds = Field(
        30,
        alias="RETRIEVAL_TIMEOUT_SECONDS",
        description="How long a request to embed or rerank waits while nothing is computed, in seconds; altogether "
        "twenty times as long. What would take longer at the known pace is refused at once.",
    )
    retrieval_backend: Literal["auto", "torch", "openvino"] = Field(
        "torch",
        alias="RETRIEVAL_BACKEND",
        description="What computes embed and rerank on the CPU. `auto`: OpenVINO if it is installed and no GPU is "
        "used, else torch, also for a model that OpenVINO cannot take. `openvino` uses no GPU. One batch in 1,800 "
        "failed in OpenVINO while others ran, so neither is the default.",
    )
    retrieval_cache_dir: Path = Field(
        Path("~/.cache/ocr-sidecar"),
        alias="RETRIEVAL_CACHE_DIR",
        description="Folder for models in OpenVINO's form where the model's own folder cannot be written. Without "
        "either they are made at each start.",
    )
    retrieval_dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        alias="RETRIEVAL_DTYPE",
        description="Number format of embed and rerank. `auto`: bfloat16 if the processor has instructions for it"
        " (AMX, AVX512-BF16) and is twice as fast with them, else float32; half precision on a GPU. "
        "`float32` makes all machines equal, and a copy on a GPU twice as large. "
        "`int8`: weights of 8 bits, with RETRIEVAL_BACKEND=openvino alone; try `ocr-sidecar retrieval check` first.",
    )
    retrieval_device: Literal["auto", "cpu"] = Field(
        "auto",
        alias="RETRIEVAL_DEVICE",
        description="`auto`: the GPU while VRAM_HEADROOM_THRESHOLD_MB stays free besides the model, else the CPU."
        " `cpu`: the GPU is never used.",
    )
    retrieval_threads: int = Field(
        0,
        alias="RETRIEVAL_THREADS",
        ge=0,
        le=256,
        description="Cores that embed and rerank compute on without a GPU. 0: all that this process may use. Each"
        " core computes its own batches, at a slightly lower priority than OCR's workers, so that "
        "neither starves the other. Fewer leave cores for pages.",
    )
    retrieval_max_wait_ms: float = Field(
        20,
        alias="RETRIEVAL_MAX_WAIT_MS",
        ge=0,
        le=1000,
        description="Longest time that a batch is held open for more texts, in milliseconds; never longer than a "
        "tenth of the batch's time. It lets callers that were just answered send their next text.",
    )
    retrieval_max_tokens: int = Field(
        8192,
        alias="RETRIEVAL_MAX_TOKENS",
        ge=16,
        le=8192,
        description="Most tokens of a text that are read, special ones included; longer texts are cut, which the "
        "answer tells. 8192 is BGE-M3's own limit. With 512 vectors are those of FlagEmbedding's default, as from the "
        "service that this one replaces.",
    )
    retrieval_batch_tokens: int = Field(
        1024,
        alias="RETRIEVAL_BATCH_TOKENS",
        ge=16,
        le=1_000_000,
        description="Most tokens of a batch that a core of the CPU computes, padding included. From 512 to 2048 "
        "the throughput is the same; callers wait longer for larger ones. A longer text is a batch of"
        " its own.",
    )
    retrieval_gpu_batch_tokens: int = Field(
        16_384,
        alias="RETRIEVAL_GPU_BATCH_TOKENS",
        ge=16,
        le=1_000_000,
        description="Most tokens of a batch on the GPU, padding included. Smaller ones leave it idle, larger ones take "
        "memory: this many take about 1 GiB.",
    )
    retrieval_max_padding: float = Field(
        0.1,
        alias="RETRIEVAL_MAX_PADDING",
        ge=0,
        le=0.9,
        description="Largest share of a batch that may be padding, which is computed for nothing.",
    )
    retrieval_gpu_overhead_mb: int = Field(
        1500,
        alias="RETRIEVAL_GPU_OVERHEAD_MB",
        ge=0,
        description="GPU memory that a model takes in addition to its weights, in MiB: CUDA's context, and one batch.",
    )
    retrieval_max_items: int = Field(
        2048,
        alias="RETRIEVAL_MAX_ITEMS",
        ge=1,
        description="Most texts or chunks of one request: OpenAI's limit.",
    )
    retrieval_max_queued_items: int = Field(
        4096,
        alias="RETRIEVAL_MAX_QUEUED_ITEMS",
        ge=1,
        description="Texts that may wait or be computed at a time, for each model; beyond that a request gets 429"
        " with Retry-After. One request of each key is always accepted if none of that key is in work.",
    )
    retrieval_key_max_items: int = Field(
        0,
        alias="RETRIEVAL_KEY_MAX_ITEMS",
        ge=0,
        description="Texts of one API key in work at a time, to embed, rerank or tokenise; beyond that it gets 429 "
        "`quota_exhausted`. A key's only request is always accepted. Keys of the same name share it. 0: no limit.",
    )
    retrieval_max_body_bytes: int = Field(
        8 * MIB,
        alias="RETRIEVAL_MAX_BODY_BYTES",
        ge=1024,
        description="Largest body of a request to embed or rerank, in bytes: 2,048 texts of 4,000 characters.",
    )
    retrieval_max_bodies_bytes: int = Field(
        256 * MIB,
        alias="RETRIEVAL_MAX_BODIES_BYTES",
        ge=1024,
        description="Bytes of all requests to embed or rerank in work; beyond that a request gets 429 with "
        "Retry-After. They are in memory: 32 of the largest requests. With the answers that are being sent beyond it, "
        "only arrays of more than 16 texts get 429.",
    )

    # ── what a document may be ────────────────────────────────────────────────────────────────────────────────
    char_threshold: int = Field(
        100,
        alias="OCR_CHAR_THRESHOLD",
        ge=0,
        description="A text layer of so many characters or fewer may be a stamp: it is used only if nothing else on "
        "its page looks like text. Kept from production.",
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
        description="Most bytes of all form fields except the file, and of a JSON body. A prompt has 10,000 "
        "characters.",
    )
    page_limit: int = Field(
        500,
        alias="OCR_PAGE_LIMIT",
        ge=1,
        description="Most pages read for one request: at 1 s per page and core, 500 take minutes.",
    )
    max_pages: int = Field(
        0,
        alias="OCR_MAX_PAGES",
        ge=0,
        description="Pages read if a request sets no maxPages: only the first ones, with the warning "
        "`pages-limited` if there are more. 0: all, up to OCR_PAGE_LIMIT. Kept from production.",
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
        description="Tasks after which a worker is replaced, so that memory leaked by C libraries is freed.",
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
        description="Pages that may wait or be read at a time; beyond that a document gets 429 with Retry-After. "
        "One whole document of each key is always accepted if none of that key is in work.",
    )
    max_documents: int = Field(
        256,
        alias="OCR_MAX_DOCUMENTS",
        ge=1,
        description="Documents that may be in work at a time, whatever their pages; those still arriving are not "
        "counted, so that slow senders keep nobody out.",
    )
    key_max_documents: int = Field(
        0,
        alias="OCR_KEY_MAX_DOCUMENTS",
        ge=0,
        description="Documents of one API key at a time, arriving or in work; beyond that it gets 429 "
        "`quota_exhausted`. Keys of the same name share it. 0: no limit. All keys together should stay below "
        "OCR_MAX_DOCUMENTS.",
    )
    page_timeout_s: Seconds = Field(
        360, alias="OCR_TIMEOUT", description="Deadline of one page, in seconds. Kept from production."
    )
    deadline_s: float = Field(
        0,
        ge=0,
        le=86_400,
        alias="OCR_DEADLINE_SECONDS",
        description="Deadline of a document, in seconds from the end of its request's body; what was read by then is "
        "the answer. 0: none. The request's or the profile's `deadlineSeconds` wins.",
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
    file_s: Seconds = Field(
        600,
        alias="OCR_FILE_SECONDS",
        description="How long a file of `POST /v1/files` is kept, in seconds: callers read it right after the upload.",
    )
    max_files_bytes: int = Field(
        1024 * MIB,
        alias="OCR_MAX_FILES_BYTES",
        ge=MIB,
        description="Bytes of all files of `POST /v1/files` together; beyond that a file gets 429. A quarter of "
        "OCR_MAX_SPOOL_BYTES, so that files which nobody reads leave room for documents.",
    )
    quality_low: float = Field(
        0.85,
        alias="OCR_QUALITY_LOW",
        ge=0,
        le=1,
        description="Score of a page, 0 to 1, below which its `quality` is `low`: somebody should look at it. The "
        "default was measured (docs/quality.md).",
    )
    quality_high: float = Field(
        0.95,
        alias="OCR_QUALITY_HIGH",
        ge=0,
        le=1,
        description="Score of a page from which on its `quality` is `high`; between both it is `medium`. Likewise.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="OCR_LOG_LEVEL", description="Least severe log line that is written."
    )
    audit_file: Path | None = Field(
        None,
        alias="OCR_AUDIT_FILE",
        description="File that gets a line of JSON for each page that was answered: what it was read from, by what, "
        "and with what outcome; no text, no file's name, no key. Its folder must exist. Unset: none is written.",
    )
    audit_file_mb: int = Field(
        100,
        alias="OCR_AUDIT_FILE_MB",
        ge=1,
        le=100_000,
        description="Size from which on a new audit file is begun, in MiB: about 100,000 pages.",
    )
    audit_files: int = Field(
        10,
        alias="OCR_AUDIT_FILES",
        ge=1,
        le=1000,
        description="Audit files that are kept; the oldest is deleted, so that they never fill a disk.",
    )

    # ── jobs: documents that are read later, by whichever pod is free ─────────────────────────────────────────
    jobs: str = Field(
        "off",
        alias="OCR_JOBS",
        description="Where jobs live, which are documents that are read later by whichever pod is free. `off`: there "
        "are none. `embedded`: in a NATS server that this process starts, for one machine. Or NATS servers, "
        "`nats://host:4222` or `tls://host:4222`, with commas between them. All pods of one queue have the same.",
    )
    jobs_dir: Path | None = Field(
        None,
        alias="OCR_JOBS_DIR",
        description="Folder of the embedded server: documents that wait, and results. Unset: `jobs` in OCR_STATE_DIR, "
        "and without that a folder of ours in the system's temporary folder, which may not outlive a restart.",
    )
    jobs_ttl_s: float = Field(
        86_400,
        alias="OCR_JOBS_TTL",
        ge=1,
        le=2_592_000,
        description="How long a job's result is kept after its end, in seconds; then it is 410.",
    )
    jobs_credentials_file: Path | None = Field(
        None,
        alias="OCR_JOBS_CREDENTIALS_FILE",
        description="Credentials file (`.creds`) with which this service shows the NATS servers who it is. Read at "
        "each connection. Unset: none are shown.",
    )
    jobs_ca_file: Path | None = Field(
        None,
        alias="OCR_JOBS_CA_FILE",
        description="Certificates, in PEM, that the certificates of `tls://` servers are held against. Unset: the "
        "system's.",
    )
    jobs_replicas: int = Field(
        1,
        alias="OCR_JOBS_REPLICAS",
        ge=1,
        le=5,
        description="NATS servers that hold each job; 3 with a cluster of three, so that one may fail. Counts where "
        "the queue is made.",
    )
    jobs_slice_pages: int = Field(
        8,
        alias="OCR_JOBS_SLICE_PAGES",
        ge=1,
        le=500,
        description="Pages of a job that one pod takes at a time: fewer are spread better and lost with less, and "
        "cost more. The default was measured (docs/architecture.md).",
    )
    jobs_slices: int = Field(
        2,
        alias="OCR_JOBS_SLICES",
        ge=0,
        le=64,
        description="Slices that this process reads at a time. 0: it takes jobs and answers for them, and leaves the "
        "reading to others.",
    )
    jobs_max: int = Field(
        100_000,
        alias="OCR_JOBS_MAX",
        ge=1,
        description="Jobs that may wait or run at a time, of all callers; beyond that one gets 429 `queue_full`.",
    )
    jobs_callback_hosts: str = Field(
        "",
        alias="OCR_JOBS_CALLBACK_HOSTS",
        description="Hosts that `callbackUrl` may name, with commas between them: `host`, `.domain` for all hosts "
        "below it, `host:8443` for another port than 443, `http://host` for plain HTTP. None by default: a caller "
        "must not choose whom this service calls.",
    )
    jobs_callback_secret_file: Path | None = Field(
        None,
        alias="OCR_JOBS_CALLBACK_SECRET_FILE",
        description="File with the secret by which calls to `callbackUrl` are signed (HMAC-SHA256); needed with "
        "OCR_JOBS_CALLBACK_HOSTS. Read again for each call, so that it rotates without a restart.",
    )
    sync_over_jobs: Literal["off", "on"] = Field(
        "off",
        alias="OCR_SYNC_OVER_JOBS",
        description="Whether `/ocr-upload` and `/ocr` read over the queue of jobs, so that all pods read a long "
        "document of a caller who waits. Needs OCR_JOBS.",
    )

    @field_validator("ollama_api_url", "rapidocr_thai_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url:
            check_url(url, "http://ollama:11434")
        return url

    @field_validator("model_url")
    @classmethod
    def _are_urls(cls, given: str | None) -> str | None:
        urls = listed(given)
        for url in urls or ([given] if given else []):
            check_url(url, "http://vllm:8000/v1")
        if len(set(map(without_credentials, urls))) < len(urls):
            raise ValueError("it names a server twice: each counts for its own pages at a time")
        return given

    @model_validator(mode="after")
    def _int8_is_openvino_s(self) -> Self:
        if self.retrieval_dtype == "int8" and self.retrieval_backend != "openvino":
            raise ValueError("RETRIEVAL_DTYPE is int8, which needs RETRIEVAL_BACKEND=openvino")
        return self

    @model_validator(mode="after")
    def _api_has_its_url(self) -> Self:
        if self.model_api == "openai" and not self.model_url:
            raise ValueError("OCR_MODEL_API is openai: OCR_MODEL_URL must be set, such as http://vllm:8000/v1")
        openai_s = {"URL": self.model_url, "KEY_FILE": self.model_key_file, "SERVER": self.model_server}
        if self.model_api == "ollama" and (given := [name for name, value in openai_s.items() if value]):
            raise ValueError(f"OCR_MODEL_{given[0]} is set, which needs OCR_MODEL_API=openai")
        if self.model_key_file and any(map(has_credentials, listed(self.model_url))):
            raise ValueError(
                "OCR_MODEL_KEY_FILE is set, and OCR_MODEL_URL holds a name or password: a server is sent one of them"
            )
        if self.model_api == "openai" and self.on_pressure == "lease":
            raise ValueError("OCR_ON_PRESSURE is lease, which needs OCR_MODEL_API=ollama: others unload no model")
        return self

    @field_validator("jobs")
    @classmethod
    def _is_a_place_of_jobs(cls, given: str) -> str:
        if given not in (JOBS_OFF, JOBS_EMBEDDED):
            check_servers(given)
        return given

    @field_validator("jobs_callback_hosts")
    @classmethod
    def _are_hosts(cls, given: str) -> str:
        callback_hosts(given)
        return given

    @model_validator(mode="after")
    def _jobs_have_what_they_need(self) -> Self:
        needing = {
            "OCR_JOBS_DIR": (self.jobs_dir, "OCR_JOBS=embedded", self.jobs == JOBS_EMBEDDED),
            "OCR_JOBS_CREDENTIALS_FILE": (self.jobs_credentials_file, "NATS servers in OCR_JOBS", self.nats_servers),
            "OCR_JOBS_CA_FILE": (self.jobs_ca_file, "tls:// in OCR_JOBS", "tls://" in self.jobs),
            "OCR_JOBS_REPLICAS": (self.jobs_replicas > 1, "NATS servers in OCR_JOBS", self.nats_servers),
            "OCR_SYNC_OVER_JOBS": (self.sync_over_jobs == "on", "OCR_JOBS", self.jobs != JOBS_OFF),
            "OCR_JOBS_CALLBACK_HOSTS": (
                self.jobs_callback_hosts,
                "OCR_JOBS_CALLBACK_SECRET_FILE",
                self.jobs_callback_secret_file,
            ),
        }
        for name, (is_set, needed, is_there) in needing.items():
            if is_set and not is_there:
                raise ValueError(f"{name} is set, which needs {needed}")
        return self

    @model_validator(mode="after")
    def _quality_has_three_verdicts(self) -> Self:
        if self.quality_low > self.quality_high:
            raise ValueError(
                f"OCR_QUALITY_LOW is {self.quality_low:g}, which is above OCR_QUALITY_HIGH, {self.quality_high:g}"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port == self.ops_port != 0:
            raise ValueError(f"OCR_PORT and OCR_OPS_PORT are both {self.port}: they must differ")
        return self

    @field_validator("retrieval_models")
    @classmethod
    def _names_models(cls, given: str) -> str:
        named = [_named(one) for one in given.split(",") if one.strip()]
        names = [(one.kind, one.name) for one in named]
        if twice := [name for kind, name in names if names.count((kind, name)) > 1]:
            raise ValueError(f"{twice[0]} is named twice: requests could not choose between them")
        return given

    @model_validator(mode="after")
    def _lease_is_remembered(self) -> Self:
        if self.on_pressure == "lease" and not self.state_dir:
            raise ValueError(
                "OCR_ON_PRESSURE is lease: OCR_STATE_DIR must be set, to remember which model to load again"
            )
        return self

    @property
    def embedders(self) -> tuple[NamedModel, ...]:
        """The embedders, the default first; one with an empty source means that there is none."""
        return self._models("embed") or (NamedModel("embed", self.bge_m3_model, _public_name(self.bge_m3_model)),)

    @property
    def rerankers(self) -> tuple[NamedModel, ...]:
        """The rerankers, likewise."""
        return self._models("rerank") or (NamedModel("rerank", self.reranker_model, _public_name(self.reranker_model)),)

    def _models(self, kind: str) -> tuple[NamedModel, ...]:
        named = [_named(one) for one in self.retrieval_models.split(",") if one.strip()]
        return tuple(one for one in named if one.kind == kind)

    @property
    def model_server_urls(self) -> tuple[str, ...]:
        """The URLs of the model servers that are used; none: there is none."""
        if self.model_api == "openai":
            return listed(self.model_url)
        return (self.ollama_api_url,) if self.ollama_api_url else ()

    @property
    def model_server_names(self) -> tuple[str, ...]:
        """What each of them is called in answers, logs and metrics: its public URL, numbered where others have it."""
        public = [public_url(url) for url in self.model_server_urls]
        earlier = [public[:n].count(url) for n, url in enumerate(public)]
        return tuple(url if not before else f"{url}#{before + 1}" for url, before in zip(public, earlier, strict=True))

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The NATS servers that jobs live in; none: they live in the embedded one, or there are none."""
        return () if self.jobs in (JOBS_OFF, JOBS_EMBEDDED) else listed(self.jobs)

    @property
    def callback_hosts(self) -> tuple[AllowedHost, ...]:
        """The hosts that may be called when a job has ended."""
        return callback_hosts(self.jobs_callback_hosts)

    @property
    def thai_model_dir(self) -> Path:
        """The folder of RapidOCR's Thai model, with the home folder in place of ``~``."""
        return self.rapidocr_dir.expanduser()

    @property
    def second(self) -> str | None:
        """The engine for second opinions; None: no engine."""
        return None if self.second_engine == NO_FALLBACK else self.second_engine

    @property
    def fallback(self) -> str | None:
        """The engine that reads if the one asked for cannot; None: no engine."""
        return None if self.fallback_engine == NO_FALLBACK else self.fallback_engine


def _named(entry: str) -> NamedModel:
    kind, _, source = entry.strip().partition(":")
    if kind not in ("embed", "rerank") or not source.strip():
        raise ValueError(
            f"{entry.strip()} is no model, accepted is embed: or rerank: and a folder or a name on the hub"
        )
    return NamedModel(kind, source.strip(), _public_name(source.strip()))


def _public_name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2] if model.startswith((".", "/", "~")) else model


def environment_names() -> dict[str, FieldInfo]:
    """Every setting by its name in the environment."""
    return names_of(Settings)


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings from an environment; an empty value counts as unset, except for :data:`MAY_BE_EMPTY`.

    Raises:
        SettingsError: an unknown ``OCR_*`` name (the nearest known one is named), or a value outside its range.
    """
    return parse_environment(Settings, environ, prefixes=("OCR_",), may_be_empty=MAY_BE_EMPTY)
