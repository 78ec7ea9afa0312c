"""The environment: what each name means, what is refused, and what the refusal says."""

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from sidecar.service.model_clients import model_clients
from sidecar.settings import MAY_BE_EMPTY, Settings, SettingsError, environment_names, parse_settings

MIB = 1024 * 1024
THAI_URL = (
    "https://www.modelscope.cn/models/RapidAI/RapidOCR/resolve/v3.10.0/onnx/PP-OCRv5/rec/th_PP-OCRv5_rec_mobile.onnx"
)
SECRET = "violet-submarine-4711"

# name in the environment, field, default, a text that is accepted, its value
SETTINGS = [
    ("OCR_HOST", "host", "127.0.0.1", "0.0.0.0", "0.0.0.0"),
    ("OCR_PORT", "port", 8765, "0", 0),
    ("OCR_OPS_PORT", "ops_port", 9090, "65535", 65535),
    ("OCR_AUTH_MODE", "auth_mode", "api-key", "network", "network"),
    ("OCR_SIDECAR_API_KEY_FILE", "api_key_file", None, "/run/keys", Path("/run/keys")),
    ("OCR_FILE_SECONDS", "file_s", 600, "5", 5),
    ("OCR_MAX_FILES_BYTES", "max_files_bytes", 1024 * MIB, "1048576", MIB),
    ("OCR_DIALECTS", "dialects", "all", "none", "none"),
    ("OCR_ENGINE", "engine", None, "np-dms-ocr", "np-dms-ocr"),
    ("OCR_FALLBACK_ENGINE", "fallback_engine", "tesseract", "none", "none"),
    ("OCR_SECOND_ENGINE", "second_engine", "rapidocr", "none", "none"),
    ("OCR_RAPIDOCR_DIR", "rapidocr_dir", Path("~/.cache/ocr-sidecar"), "/models/ocr", Path("/models/ocr")),
    ("OCR_RAPIDOCR_THAI_URL", "rapidocr_thai_url", THAI_URL, "http://mirror/th.onnx", "http://mirror/th.onnx"),
    ("OLLAMA_API_URL", "ollama_api_url", None, "http://ollama:11434", "http://ollama:11434"),
    ("OCR_MODEL_API", "model_api", "ollama", "openai", "openai"),
    ("OCR_MODEL_URL", "model_url", None, "http://a:8/v1, https://b", "http://a:8/v1, https://b"),
    ("OCR_MODEL_KEY_FILE", "model_key_file", None, "/run/model-key", Path("/run/model-key")),
    ("OCR_MODEL_SERVER", "model_server", None, "vllm", "vllm"),
    ("OCR_MODEL", "ocr_model", "np-dms-ocr:latest", "np-dms-ocr:2", "np-dms-ocr:2"),
    ("OCR_RECIPE", "recipe", None, "qwen-vl", "qwen-vl"),
    ("OCR_LANGUAGES", "languages", "tha+eng", "eng", "eng"),
    ("TESSDATA_PREFIX", "tessdata_dir", None, "/usr/share/tessdata", Path("/usr/share/tessdata")),
    ("OCR_DPI", "dpi", 300, "72", 72),
    ("OCR_CHAR_THRESHOLD", "char_threshold", 100, "0", 0),
    ("OCR_MAX_DOCUMENT_BYTES", "max_document_bytes", 50 * MIB, "1", 1),
    ("OCR_MAX_FIELD_BYTES", "max_field_bytes", MIB, "1024", 1024),
    ("OCR_PAGE_LIMIT", "page_limit", 500, "1", 1),
    ("OCR_MAX_PAGES", "max_pages", 0, "7", 7),
    ("OCR_MAX_PAGE_PIXELS", "max_page_pixels", 150_000_000, "1000000", 1_000_000),
    ("OCR_MAX_STREAM_BYTES", "max_stream_bytes", 32 * MIB, "1048576", MIB),
    ("MAX_SYSTEM_PROMPT_LENGTH", "max_system_prompt_length", 10_000, "1", 1),
    ("OCR_SIDECAR_UPLOAD_BASE", "upload_base", Path("/mnt/uploads"), "/srv/in", Path("/srv/in")),
    ("OCR_WORKERS", "workers", 0, "256", 256),
    ("OCR_WORKER_MEMORY_MB", "worker_memory_mb", 3072, "512", 512),
    ("OCR_WORKER_TASKS", "worker_tasks", 2000, "1", 1),
    ("OCR_WORKER_NICE", "worker_nice", 10, "19", 19),
    ("OCR_MAX_QUEUED_PAGES", "max_queued_pages", 1000, "1", 1),
    ("OCR_MAX_DOCUMENTS", "max_documents", 256, "1", 1),
    ("OCR_KEY_MAX_DOCUMENTS", "key_max_documents", 0, "4", 4),
    ("OCR_TIMEOUT", "page_timeout_s", 360, "0.5", 0.5),
    ("OCR_DEADLINE_SECONDS", "deadline_s", 0, "90.5", 90.5),
    ("OCR_OPEN_SECONDS", "open_timeout_s", 60, "86400", 86400),
    ("OCR_RECEIVE_SECONDS", "receive_timeout_s", 120, "1.5", 1.5),
    ("OCR_MAX_CONNECTIONS", "max_connections", 1024, "1", 1),
    ("OCR_HEAD_SECONDS", "head_s", 75, "0.5", 0.5),
    ("OCR_STALL_SECONDS", "stall_s", 60, "3.5", 3.5),
    ("OCR_SHUTDOWN_SECONDS", "shutdown_s", 20, "0", 0),
    ("OCR_SPOOL_DIR", "spool_dir", None, "/var/spool/ocr", Path("/var/spool/ocr")),
    ("OCR_MAX_SPOOL_BYTES", "max_spool_bytes", 4096 * MIB, "1048576", MIB),
    ("OCR_QUALITY_LOW", "quality_low", 0.85, "0.5", 0.5),
    ("OCR_QUALITY_HIGH", "quality_high", 0.95, "1", 1),
    ("OCR_LOG_LEVEL", "log_level", "info", "debug", "debug"),
    ("OCR_AUDIT_FILE", "audit_file", None, "/audit/pages", Path("/audit/pages")),
    ("OCR_AUDIT_FILE_MB", "audit_file_mb", 100, "1", 1),
    ("OCR_AUDIT_FILES", "audit_files", 10, "1000", 1000),
    ("OCR_JOBS", "jobs", "off", "nats://a:4222,tls://b", "nats://a:4222,tls://b"),
    ("OCR_JOBS_DIR", "jobs_dir", None, "/jobs", Path("/jobs")),
    ("OCR_JOBS_TTL", "jobs_ttl_s", 86_400, "1", 1),
    ("OCR_JOBS_CREDENTIALS_FILE", "jobs_credentials_file", None, "/run/nats.creds", Path("/run/nats.creds")),
    ("OCR_JOBS_CA_FILE", "jobs_ca_file", None, "/run/ca.crt", Path("/run/ca.crt")),
    ("OCR_JOBS_REPLICAS", "jobs_replicas", 1, "3", 3),
    ("OCR_JOBS_SLICE_PAGES", "jobs_slice_pages", 8, "500", 500),
    ("OCR_JOBS_SLICES", "jobs_slices", 2, "0", 0),
    ("OCR_JOBS_MAX", "jobs_max", 100_000, "1", 1),
    ("OCR_JOBS_CALLBACK_HOSTS", "jobs_callback_hosts", "", "a.example, .b.example", "a.example, .b.example"),
    ("OCR_JOBS_CALLBACK_SECRET_FILE", "jobs_callback_secret_file", None, "/run/secret", Path("/run/secret")),
    ("OCR_SYNC_OVER_JOBS", "sync_over_jobs", "off", "on", "on"),
    ("OCR_PARALLEL_PAGES", "parallel_pages", 4, "64", 64),
    ("OCR_MODEL_LOGPROBS", "model_logprobs", "off", "on", "on"),
    ("OCR_IMAGE_LONGEST_SIDE", "image_longest_side", 1800, "256", 256),
    ("OCR_CONNECT_SECONDS", "connect_s", 5, "0.5", 0.5),
    ("OCR_FIRST_TOKEN_SECONDS", "first_token_s", 180, "86400", 86400),
    ("OCR_ACTIVE_PROFILE", "active_profile", None, "deep-analysis", "deep-analysis"),
    ("OCR_RESIDENCY_WINDOW_SECONDS", "residency_window_s", 120, "0", 0),
    ("VRAM_HEADROOM_THRESHOLD_MB", "headroom_threshold_mb", 3000, "0", 0),
    ("GPU_MAIN_MODEL_PRESSURE_THRESHOLD_MB", "main_model_pressure_mb", 12000, "0", 0),
    ("GPU_TOTAL_VRAM_MB", "gpu_total_mb", 16384, "1", 1),
    ("OCR_VRAM_SOURCE", "vram_source", "auto", "ollama", "ollama"),
    ("OCR_GPU_INDEX", "gpu_index", 0, "7", 7),
    ("OCR_ON_PRESSURE", "on_pressure", "tesseract", "evict", "evict"),
    ("OCR_PRESSURE_WAIT_SECONDS", "pressure_wait_s", 0, "0.25", 0.25),
    ("OCR_LEASE_WAIT_SECONDS", "lease_wait_s", 60, "0.5", 0.5),
    ("OCR_LEASE_SECONDS", "lease_s", 120, "1", 1),
    ("OCR_LEASE_MIN_PAGES", "lease_min_pages", 1, "3", 3),
    ("OCR_REQUIRED_VRAM_MB", "required_vram_mb", 4000, "0", 0),
    ("OCR_STATE_DIR", "state_dir", None, "/state", Path("/state")),
    ("OCR_PROFILE_DIR", "profile_dir", None, "/profiles", Path("/profiles")),
    ("OCR_DEFAULT_PROFILE", "default_profile", "ocr-extract", "drawings", "drawings"),
    ("BGE_M3_MODEL", "bge_m3_model", "BAAI/bge-m3", "/models/bge-m3", "/models/bge-m3"),
    (
        "RERANKER_MODEL",
        "reranker_model",
        "BAAI/bge-reranker-large",
        "BAAI/bge-reranker-v2-m3",
        "BAAI/bge-reranker-v2-m3",
    ),
    ("RETRIEVAL_MODELS", "retrieval_models", "", "embed:a/b, rerank:/c", "embed:a/b, rerank:/c"),
    ("BGE_KEEP_ALIVE_SECONDS", "bge_keep_alive_s", 0, "300", 300),
    ("RETRIEVAL_BACKEND", "retrieval_backend", "torch", "openvino", "openvino"),
    (
        "RETRIEVAL_CACHE_DIR",
        "retrieval_cache_dir",
        Path("~/.cache/ocr-sidecar"),
        "/models/cache",
        Path("/models/cache"),
    ),
    ("RETRIEVAL_TIMEOUT_SECONDS", "retrieval_timeout_s", 30, "0.5", 0.5),
    ("RETRIEVAL_DTYPE", "retrieval_dtype", "auto", "bfloat16", "bfloat16"),
    ("RETRIEVAL_DEVICE", "retrieval_device", "auto", "cpu", "cpu"),
    ("RETRIEVAL_THREADS", "retrieval_threads", 0, "256", 256),
    ("RETRIEVAL_MAX_WAIT_MS", "retrieval_max_wait_ms", 20, "0", 0),
    ("RETRIEVAL_MAX_TOKENS", "retrieval_max_tokens", 8192, "512", 512),
    ("RETRIEVAL_BATCH_TOKENS", "retrieval_batch_tokens", 1024, "16", 16),
    ("RETRIEVAL_GPU_BATCH_TOKENS", "retrieval_gpu_batch_tokens", 16_384, "1000000", 1_000_000),
    ("RETRIEVAL_MAX_PADDING", "retrieval_max_padding", 0.1, "0", 0),
    ("RETRIEVAL_GPU_OVERHEAD_MB", "retrieval_gpu_overhead_mb", 1500, "0", 0),
    ("RETRIEVAL_MAX_ITEMS", "retrieval_max_items", 2048, "1", 1),
    ("RETRIEVAL_MAX_QUEUED_ITEMS", "retrieval_max_queued_items", 4096, "1", 1),
    ("RETRIEVAL_KEY_MAX_ITEMS", "retrieval_key_max_items", 0, "4", 4),
    ("RETRIEVAL_MAX_BODY_BYTES", "retrieval_max_body_bytes", 8 * MIB, "1024", 1024),
    ("RETRIEVAL_MAX_BODIES_BYTES", "retrieval_max_bodies_bytes", 256 * MIB, "1024", 1024),
]
REFUSED = [
    ("OCR_MODEL_API", ["vllm", "OpenAI"]),
    ("OCR_MODEL_SERVER", ["sglang"]),
    ("OCR_MODEL_URL", ["vllm:8000", "http://", "http://a/v1,b", ",", "http://a b/v1", "http://me:pw@a:0/v1"]),
    ("OCR_PORT", ["-1", "65536", "http", "8765.5"]),
    ("OCR_OPS_PORT", ["-1", "65536"]),
    ("OCR_AUTH_MODE", ["none", "API-KEY", "off"]),
    ("OCR_ENGINE", ["x" * 65]),
    ("OCR_FALLBACK_ENGINE", ["x" * 65]),
    ("OCR_SECOND_ENGINE", ["x" * 65]),
    ("OCR_RAPIDOCR_THAI_URL", ["ftp://mirror/th.onnx", "th.onnx"]),
    (
        "OLLAMA_API_URL",
        [
            "ollama:11434",
            "ftp://ollama",
            "http://",
            "http://ollama:0",
            "http://ollama:65536",
            "//ollama",
            "http://oll ama:1",
        ],
    ),
    ("OCR_DPI", ["71", "601", "nan"]),
    ("OCR_CHAR_THRESHOLD", ["-1", "many"]),
    ("OCR_MAX_DOCUMENT_BYTES", ["0", "50MB"]),
    ("OCR_MAX_FIELD_BYTES", ["1023"]),
    ("OCR_PAGE_LIMIT", ["0"]),
    ("OCR_MAX_PAGES", ["-1"]),
    ("OCR_MAX_PAGE_PIXELS", ["999999"]),
    ("OCR_MAX_STREAM_BYTES", ["1048575"]),
    ("MAX_SYSTEM_PROMPT_LENGTH", ["0"]),
    ("OCR_WORKERS", ["-1", "257"]),
    ("OCR_WORKER_MEMORY_MB", ["511"]),
    ("OCR_WORKER_TASKS", ["0"]),
    ("OCR_WORKER_NICE", ["-1", "20"]),
    ("OCR_MAX_QUEUED_PAGES", ["0"]),
    ("OCR_MAX_DOCUMENTS", ["0"]),
    ("OCR_KEY_MAX_DOCUMENTS", ["-1"]),
    ("OCR_TIMEOUT", ["0", "-1", "86400.1", "nan", "inf", "soon"]),
    ("OCR_OPEN_SECONDS", ["0", "nan"]),
    ("OCR_DEADLINE_SECONDS", ["-1", "86401", "nan"]),
    ("OCR_RECEIVE_SECONDS", ["0", "inf"]),
    ("OCR_MAX_CONNECTIONS", ["0", "100001", "many"]),
    ("OCR_HEAD_SECONDS", ["0", "nan"]),
    ("OCR_STALL_SECONDS", ["0", "86400.1"]),
    ("OCR_SHUTDOWN_SECONDS", ["-0.1", "3600.1", "nan"]),
    ("OCR_MAX_SPOOL_BYTES", ["1048575"]),
    ("OCR_LOG_LEVEL", ["INFO", "loud"]),
    ("OCR_JOBS", ["on", "EMBEDDED", "nats", "none,embedded", "nats:4222", ","]),
    ("OCR_JOBS", ["http://nats", "nats://", "nats://a:0", "nats://a/b", "nats://a?x=1", "nats://a,b", "tls://a b"]),
    ("OCR_JOBS", [f"nats://me:{SECRET}@a:4222", f"nats://{SECRET}@a"]),
    ("OCR_JOBS_TTL", ["0", "2592001", "nan", "1d"]),
    ("OCR_JOBS_REPLICAS", ["0", "6"]),
    ("OCR_JOBS_SLICE_PAGES", ["0", "501"]),
    ("OCR_JOBS_SLICES", ["-1", "65"]),
    ("OCR_JOBS_MAX", ["0"]),
    ("OCR_JOBS_CALLBACK_HOSTS", ["*", "a b", "a/b", "me@a", "a:0", "a:x", "..a", "-a", "[::1"]),
    ("OCR_JOBS_CALLBACK_HOSTS", ["ftp://a", "https://a/b", "http://me:pw@a"]),
    ("OCR_SYNC_OVER_JOBS", ["yes", "ON"]),
    ("OCR_PARALLEL_PAGES", ["0", "65", "many"]),
    ("OCR_IMAGE_LONGEST_SIDE", ["255", "8193"]),
    ("OCR_CONNECT_SECONDS", ["0", "nan", "86400.1"]),
    ("OCR_FIRST_TOKEN_SECONDS", ["0", "inf"]),
    ("OCR_RESIDENCY_WINDOW_SECONDS", ["-1", "86401", "0.5"]),
    ("VRAM_HEADROOM_THRESHOLD_MB", ["-1", "3 GB"]),
    ("GPU_MAIN_MODEL_PRESSURE_THRESHOLD_MB", ["-1"]),
    ("GPU_TOTAL_VRAM_MB", ["0", "x"]),
    ("OCR_VRAM_SOURCE", ["nvml", "AUTO"]),
    ("OCR_GPU_INDEX", ["-1", "all"]),
    ("OCR_ON_PRESSURE", ["wait", "EVICT", "none"]),
    ("OCR_PRESSURE_WAIT_SECONDS", ["-0.1", "3600.1", "nan"]),
    ("OCR_LEASE_WAIT_SECONDS", ["0", "86400.1", "nan"]),
    ("OCR_LEASE_SECONDS", ["0.5", "3600.1", "nan"]),
    ("OCR_LEASE_MIN_PAGES", ["0", "1.5"]),
    ("OCR_REQUIRED_VRAM_MB", ["-1"]),
    ("RETRIEVAL_MODELS", ["a/b", "ocr:a", "embed:", "embed:a/b,embed:a/b"]),
    ("BGE_KEEP_ALIVE_SECONDS", ["-1", "31622401", "nan"]),
    ("RETRIEVAL_TIMEOUT_SECONDS", ["0", "86400.1", "nan"]),
    ("RETRIEVAL_DTYPE", ["fp16", "AUTO"]),
    ("RETRIEVAL_BACKEND", ["onnx", "OPENVINO"]),
    ("RETRIEVAL_DEVICE", ["cuda", "gpu"]),
    ("RETRIEVAL_THREADS", ["-1", "257"]),
    ("RETRIEVAL_MAX_WAIT_MS", ["-1", "1000.1", "nan"]),
    ("RETRIEVAL_MAX_TOKENS", ["15", "8193"]),
    ("RETRIEVAL_BATCH_TOKENS", ["15", "1000001"]),
    ("RETRIEVAL_GPU_BATCH_TOKENS", ["15", "1000001"]),
    ("RETRIEVAL_MAX_PADDING", ["-0.1", "1", "nan"]),
    ("RETRIEVAL_GPU_OVERHEAD_MB", ["-1"]),
    ("RETRIEVAL_MAX_ITEMS", ["0"]),
    ("RETRIEVAL_MAX_QUEUED_ITEMS", ["0"]),
    ("RETRIEVAL_KEY_MAX_ITEMS", ["-1"]),
    ("RETRIEVAL_MAX_BODY_BYTES", ["1023"]),
    ("RETRIEVAL_MAX_BODIES_BYTES", ["1023"]),
]


OPENAI = {"OCR_MODEL_API": "openai", "OCR_MODEL_URL": "http://vllm:8000/v1"}
NEEDS = dict.fromkeys((*OPENAI, "OCR_MODEL_KEY_FILE", "OCR_MODEL_SERVER"), OPENAI)
"""Settings that are refused without others."""
NATS = {"OCR_JOBS": "nats://a:4222"}
NEEDS |= {
    "OCR_JOBS_DIR": {"OCR_JOBS": "embedded"},
    "OCR_JOBS_CREDENTIALS_FILE": NATS,
    "OCR_JOBS_CA_FILE": {"OCR_JOBS": "nats://a,tls://b:4222"},
    "OCR_JOBS_REPLICAS": NATS,
    "OCR_JOBS_CALLBACK_HOSTS": {"OCR_JOBS_CALLBACK_SECRET_FILE": "/run/secret"},
    "OCR_SYNC_OVER_JOBS": {"OCR_JOBS": "embedded"},
}


def refusal(environ):
    with pytest.raises(SettingsError) as caught:
        parse_settings(environ)
    return caught.value


def test_the_tables_here_name_every_setting():
    assert {row[0] for row in SETTINGS} | {"OCR_SIDECAR_API_KEY"} == environment_names().keys()


@pytest.mark.parametrize(("name", "field", "default", "text", "value"), SETTINGS)
def test_a_setting_has_its_default_and_is_read_from_its_name(name, field, default, text, value):
    assert getattr(parse_settings({}), field) == default
    others = NEEDS.get(name, {})
    assert getattr(parse_settings(others | {name: text}), field) == value
    assert getattr(parse_settings(others | {name: f"  {text}\n"}), field) == value


def test_there_is_no_key_unless_one_is_set():
    assert parse_settings({}).api_key.get_secret_value() == ""
    assert parse_settings({"OCR_SIDECAR_API_KEY": f" {SECRET}\n"}).api_key.get_secret_value() == SECRET


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED for text in texts])
def test_a_value_outside_its_range_is_refused_by_name_and_value(name, text):
    shown = "(hidden)" if "URL" in name or "://" in text else text  # it may hold a password
    assert str(refusal({name: text})).startswith(f"{name} is {shown}: ")


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"OCR_MODEL_API": "openai"}, ["OCR_MODEL_API", "OCR_MODEL_URL"]),
        ({"OCR_MODEL_URL": "http://vllm:8000/v1"}, ["OCR_MODEL_URL", "OCR_MODEL_API=openai"]),
        ({"OCR_MODEL_KEY_FILE": "/k"}, ["OCR_MODEL_KEY_FILE", "OCR_MODEL_API=openai"]),
        ({"OCR_MODEL_SERVER": "vllm"}, ["OCR_MODEL_SERVER", "OCR_MODEL_API=openai"]),
        (OPENAI | {"OCR_MODEL_URL": "http://a/v1,http://b/v1,http://me:pw@A/v1/?x=1"}, ["OCR_MODEL_URL", "twice"]),
        (
            OPENAI | {"OCR_MODEL_URL": "http://me:pw@a/v1", "OCR_MODEL_KEY_FILE": "/k"},
            ["OCR_MODEL_KEY_FILE", "password"],
        ),
        (OPENAI | {"OCR_MODEL_URL": "http://b/v1,http://me@a/v1", "OCR_MODEL_KEY_FILE": "/k"}, ["OCR_MODEL_KEY_FILE"]),
        (OPENAI | {"OCR_ON_PRESSURE": "lease", "OCR_STATE_DIR": "/s"}, ["OCR_ON_PRESSURE", "OCR_MODEL_API=ollama"]),
    ],
)
def test_settings_of_the_model_server_that_do_not_fit_are_refused(environ, names):
    assert all(name in str(refusal(environ)) for name in names)


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"OCR_JOBS_DIR": "/jobs"}, ["OCR_JOBS_DIR", "OCR_JOBS=embedded"]),
        (NATS | {"OCR_JOBS_DIR": "/jobs"}, ["OCR_JOBS_DIR", "OCR_JOBS=embedded"]),
        ({"OCR_JOBS": "embedded", "OCR_JOBS_CREDENTIALS_FILE": "/c"}, ["OCR_JOBS_CREDENTIALS_FILE", "NATS servers"]),
        (NATS | {"OCR_JOBS_CA_FILE": "/c"}, ["OCR_JOBS_CA_FILE", "tls://"]),
        ({"OCR_JOBS": "embedded", "OCR_JOBS_REPLICAS": "3"}, ["OCR_JOBS_REPLICAS", "NATS servers"]),
        ({"OCR_SYNC_OVER_JOBS": "on"}, ["OCR_SYNC_OVER_JOBS", "OCR_JOBS"]),
        ({"OCR_JOBS_CALLBACK_HOSTS": "a"}, ["OCR_JOBS_CALLBACK_HOSTS", "OCR_JOBS_CALLBACK_SECRET_FILE"]),
    ],
)
def test_settings_of_jobs_that_do_not_fit_are_refused(environ, names):
    assert all(name in str(refusal(environ)) for name in names)


def test_a_password_of_the_queue_of_jobs_is_not_shown():
    assert SECRET not in str(refusal({"OCR_JOBS": f"nats://me:{SECRET}@a:4222"}))


def test_the_servers_of_the_queue_are_listed_only_where_they_are_servers():
    assert [parse_settings({"OCR_JOBS": one}).nats_servers for one in ("off", "embedded")] == [(), ()]
    assert parse_settings({"OCR_JOBS": "nats://a:4222, tls://b"}).nats_servers == ("nats://a:4222", "tls://b")


def test_servers_behind_one_gateway_are_several_and_have_names_of_their_own():
    urls = "http://gw/a/v1,http://gw/b/v1,https://gw/a/v1,http://gw/c/v1"
    settings = parse_settings(OPENAI | {"OCR_MODEL_URL": urls})
    assert settings.model_server_urls == tuple(urls.split(","))
    assert settings.model_server_names == ("http://gw", "http://gw#2", "https://gw", "http://gw#3")
    assert tuple(model_clients(settings)) == settings.model_server_names


def test_a_password_in_the_address_does_without_a_key_file():
    url = "http://me:pw@a/v1"
    assert parse_settings(OPENAI | {"OCR_MODEL_URL": url}).model_server_urls == (url,)


def test_the_servers_in_use_are_those_of_the_api_in_use():
    both = {"OLLAMA_API_URL": "http://ollama:11434"}
    assert parse_settings({}).model_server_urls == ()
    assert parse_settings(both).model_server_urls == ("http://ollama:11434",)
    urls = {"OCR_MODEL_URL": " http://a:8000/v1 , https://b/v1,"}
    assert parse_settings(both | OPENAI | urls).model_server_urls == ("http://a:8000/v1", "https://b/v1")


def test_every_value_that_is_refused_is_named():
    text = str(refusal({"OCR_DPI": "7", "OCR_WORKERS": "999"}))
    assert "OCR_DPI is 7: " in text
    assert "OCR_WORKERS is 999: " in text


@pytest.mark.parametrize("name", sorted(environment_names().keys() - MAY_BE_EMPTY))
@pytest.mark.parametrize("nothing", ["", "  ", "\t\n"])
def test_a_variable_set_to_nothing_counts_as_unset(name, nothing):
    assert parse_settings({name: nothing}) == parse_settings({})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("BGE_M3_MODEL", "bge_m3_model"),
        ("RERANKER_MODEL", "reranker_model"),
        ("OCR_RAPIDOCR_THAI_URL", "rapidocr_thai_url"),
    ],
)
@pytest.mark.parametrize("nothing", ["", "  "])
def test_a_model_set_to_nothing_is_switched_off(name, field, nothing):
    assert getattr(parse_settings({name: nothing}), field) == ""
    assert name in MAY_BE_EMPTY


@pytest.mark.parametrize(
    ("model", "name"),
    [("BAAI/bge-m3", "BAAI/bge-m3"), ("/srv/secret/bge-m3/", "bge-m3"), ("./models/own", "own"), ("", "")],
)
def test_a_model_s_folder_is_not_shown_to_callers(model, name):
    settings = parse_settings({"BGE_M3_MODEL": model, "RERANKER_MODEL": model})
    assert (settings.embedders[0].name, settings.rerankers[0].name) == (name, name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OCR_PROT", "OCR_PORT"),
        ("OCR_LANGUAGE", "OCR_LANGUAGES"),
        ("OCR_CHAR_TRESHOLD", "OCR_CHAR_THRESHOLD"),
        ("OCR_UPLOAD_BASE", "OCR_SIDECAR_UPLOAD_BASE"),
        ("OCR_API_KEY_FILE", "OCR_SIDECAR_API_KEY_FILE"),
        ("OCR_SHUTDOWN_SECS", "OCR_SHUTDOWN_SECONDS"),
        ("OCR_PROFILES_DIR", "OCR_PROFILE_DIR"),
        ("OCR_GPU_TOTAL_VRAM_MB", "GPU_TOTAL_VRAM_MB"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, nearest):
    assert str(refusal({name: "1"})) == f"{name} is not a setting; the nearest one is {nearest}"
    assert name in str(refusal({name: ""}))


def test_names_of_others_are_none_of_our_business():
    others = {"PATH": "/bin", "HOME": "/", "ocr_prot": "1", "MY_OCR_PROT": "1", "GPU_TEMPERATURE": "x", "OCR": "1"}
    assert parse_settings(others) == parse_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OCR_SIDECAR_SERVICE_HOST", "10.96.0.17"),
        ("OCR_SIDECAR_SERVICE_HOST", "fd00::17"),
        ("OCR_SIDECAR_SERVICE_PORT", "8765"),
        ("OCR_SIDECAR_SERVICE_PORT_API", "8765"),
        ("OCR_SIDECAR_SERVICE_PORT_HTTP_OPS", "9090"),
        ("OCR_SIDECAR_PORT", "tcp://10.96.0.17:8765"),
        ("OCR_SIDECAR_PORT", "tcp://[fd00::17]:8765"),
        ("OCR_SIDECAR_PORT_8765_TCP", "tcp://10.96.0.17:8765"),
        ("OCR_SIDECAR_PORT_8765_TCP_PROTO", "tcp"),
        ("OCR_SIDECAR_PORT_8765_TCP_PORT", "8765"),
        ("OCR_SIDECAR_PORT_8765_TCP_ADDR", "10.96.0.17"),
        ("OCR_SIDECAR_PORT_53_UDP", "udp://10.96.0.17:53"),
        ("OCR_SIDECAR_PORT_53_UDP_ADDR", "10.96.0.17"),
        ("OCR_SIDECAR_PORT_9_SCTP_PROTO", "sctp"),
        ("OCR_SERVICE_HOST", "10.96.0.17"),
        ("OCR_SERVICE_PORT", "8765"),
        ("OCR_PORT_8765_TCP", "tcp://10.96.0.17:8765"),
        ("OCR_PORT_8765_TCP_ADDR", "10.96.0.17"),
    ],
)
def test_the_links_that_kubernetes_sets_for_services_are_ignored(name, value):
    assert parse_settings({name: value}) == parse_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OCR_SIDECAR_PORT", "8765"),
        ("OCR_SIDECAR_HOST", "10.96.0.17"),
        ("OCR_SIDECAR_PORT_TCP", "8765"),
        ("OCR_OLLAMA_URL", "tcp://ollama:11434"),
    ],
)
def test_what_only_resembles_a_link_is_an_unknown_name(name, value):
    assert str(refusal({name: value})).startswith(f"{name} is not a setting; ")


@pytest.mark.parametrize(("name", "service"), [("OCR_PORT", "ocr"), ("OCR_OPS_PORT", "ocr-ops")])
def test_a_link_in_the_place_of_a_port_says_what_happened(name, service):
    text = str(refusal({name: "tcp://10.96.0.17:8765"}))
    assert text.startswith(f"{name} is tcp://10.96.0.17:8765: "), service
    assert "enableServiceLinks: false" in text


def test_a_page_cannot_be_low_and_high():
    with pytest.raises(SettingsError, match=r"OCR_QUALITY_LOW is 0\.97, which is above OCR_QUALITY_HIGH, 0\.95"):
        parse_settings({"OCR_QUALITY_LOW": "0.97", "OCR_AUTH_MODE": "network"})


@pytest.mark.parametrize("port", ["8765", "9090"])
def test_equal_ports_are_refused(port):
    assert str(refusal({"OCR_PORT": port, "OCR_OPS_PORT": port})) == (
        f"OCR_PORT and OCR_OPS_PORT are both {port}: they must differ"
    )


def test_two_free_ports_may_both_be_asked_for_as_0():
    settings = parse_settings({"OCR_PORT": "0", "OCR_OPS_PORT": "0"})
    assert (settings.port, settings.ops_port) == (0, 0)


@pytest.mark.parametrize(
    "mistake", [{"OCR_DPI": "7"}, {"OCR_PROT": "1"}, {"OCR_PORT": "9090"}, {"OCR_PORT": "tcp://10.0.0.1:1"}]
)
def test_a_key_appears_in_no_error_about_another_setting(mistake):
    error = refusal({"OCR_SIDECAR_API_KEY": SECRET, **mistake})
    assert SECRET not in "".join(traceback.format_exception(error))


def test_a_key_that_looks_like_a_link_is_not_shown_either():
    environ = {"OCR_SIDECAR_API_KEY": f"tcp://{SECRET}"}
    assert parse_settings(environ).api_key.get_secret_value() == f"tcp://{SECRET}"
    assert SECRET not in str(refusal({**environ, "OCR_DPI": "7"}))


def test_a_key_appears_in_no_rendering_of_the_settings():
    settings = parse_settings({"OCR_SIDECAR_API_KEY": SECRET})
    assert SECRET not in f"{settings!r} {settings!s} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_cannot_be_changed():
    settings = parse_settings({})
    with pytest.raises(ValidationError):
        settings.port = 1
    assert settings == Settings()


def test_a_lease_needs_a_folder_to_remember_the_llm_in():
    with pytest.raises(SettingsError) as refused:
        parse_settings({"OCR_ON_PRESSURE": "lease"})
    assert str(refused.value) == (
        "OCR_ON_PRESSURE is lease: OCR_STATE_DIR must be set, to remember which model to load again"
    )
    assert parse_settings({"OCR_ON_PRESSURE": "lease", "OCR_STATE_DIR": "/state"}).on_pressure == "lease"


def test_weights_of_8_bits_need_openvino():
    with pytest.raises(SettingsError, match="RETRIEVAL_DTYPE is int8, which needs RETRIEVAL_BACKEND=openvino"):
        parse_settings({"RETRIEVAL_DTYPE": "int8"})
    assert parse_settings({"RETRIEVAL_DTYPE": "int8", "RETRIEVAL_BACKEND": "openvino"}).retrieval_dtype == "int8"


def test_named_models_replace_those_of_their_kind():
    settings = parse_settings({"RETRIEVAL_MODELS": "embed:a/b, embed:/models/c/", "RERANKER_MODEL": "d/e"})
    assert [(one.source, one.name) for one in settings.embedders] == [("a/b", "a/b"), ("/models/c/", "c")]
    assert [(one.source, one.name) for one in settings.rerankers] == [("d/e", "d/e")]


def test_what_is_accepted_is_said_in_ordinary_spelling():
    with pytest.raises(
        SettingsError, match=r"OCR_MODEL_URL is \(hidden\): a URL such as http://vllm:8000/v1 is accepted"
    ):
        parse_settings(OPENAI | {"OCR_MODEL_URL": "ftp://vllm:8000"})


@pytest.mark.parametrize("url", ["ollama:11434", "me:pw@ollama", "//ollama", "localhost", "http:ollama", "::1"])
@pytest.mark.parametrize("name", ["OLLAMA_API_URL", "OCR_MODEL_URL", "OCR_RAPIDOCR_THAI_URL"])
def test_a_url_without_its_scheme_is_told_so(name, url):
    said = rf"{name} is \(hidden\): http:// or https:// must stand before it, as in http://\w+:\d+"
    with pytest.raises(SettingsError, match=said):
        parse_settings(OPENAI | {name: url})
