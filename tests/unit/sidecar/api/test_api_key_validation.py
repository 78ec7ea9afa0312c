"""API keys: which are accepted, how they rotate, and that nothing starts without one (T008-T010, FR-001, SC-006)."""

import ast
import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sidecar
from sidecar.api.key_file import POLL_S, KeyFile
from sidecar.api.key_ring import KeyRing
from sidecar.runtime.blocking_pool import BlockingPool
from sidecar.settings import Settings, SettingsError, environment_names, parse_settings
from sidecar.telemetry import KEY_LABELS, OTHERS, Metrics
from tests.conftest import until
from tests.matrix import first

OLD, NEW = "old-key", "new-key"
DEADLINE_S = 10.0


def key_file_at(path):
    return KeyFile.from_settings(parse_settings({"OCR_SIDECAR_API_KEY_FILE": str(path)}))


def looked(key_file):
    key_file.look()
    return key_file.ring


def wait_for_key(key_file, key):
    end = time.monotonic() + DEADLINE_S
    while not looked(key_file).caller_of(key):
        assert time.monotonic() < end, f"{key} is not accepted after {DEADLINE_S} s"
        time.sleep(0.02)


# ── the ring ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", [f"{NEW}\n{OLD}", f"{NEW}\r\n{OLD}\r\n", f"\n  {NEW}  \n\n\t{OLD}\n\n"])
def test_two_keys_are_accepted_while_one_takes_over_from_the_other(text):
    ring = KeyRing.parse(text)
    assert ring.keys == (NEW.encode(), OLD.encode())
    assert ring.caller_of(NEW)
    assert ring.caller_of(OLD)


@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n\t \n"])
def test_an_empty_ring_is_refused(text):
    with pytest.raises(ValueError, match="no API key"):
        KeyRing.parse(text)


@pytest.mark.parametrize(
    "presented",
    [
        None,
        "",
        " ",
        "\n",
        "old-ke",
        "old-keyy",
        "OLD-KEY",
        "old-key ",
        " old-key",
        "old-key\0",
        "old-key\nnew-key",
        "new-keyold-key",
        "k\u00e9y",
        "\u0e01",
        "\N{FULLWIDTH LATIN SMALL LETTER O}ld-key",
        chr(0xDCFF),  # how a byte that is no UTF-8 comes out of a header
        "old-key" + chr(0xDC80),
        chr(0xD800),
    ],
)
def test_anything_but_a_whole_key_is_refused(presented):
    assert KeyRing.parse(f"{NEW}\n{OLD}").caller_of(presented) is None


def test_a_key_outside_ascii_is_accepted_as_it_is():
    ring = KeyRing.parse("กุญแจ")
    assert ring.caller_of("กุญแจ")
    assert not ring.caller_of("กุญแ")


def test_a_ring_does_not_show_its_keys():
    assert OLD not in repr(KeyRing.parse(OLD))


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def name_of(text, presented):
    caller = KeyRing.parse_named(text).caller_of(presented)
    return caller and caller.name


@pytest.mark.parametrize(
    ("line", "key", "name"),
    [
        ("archive-2: secret", "secret", "archive-2"),
        ("  archive:   secret \r", "secret", "archive"),
        ("a" * 32 + ": secret", "secret", "a" * 32),
        ("archive: a: b", "a: b", "archive"),
        ("secret", "secret", "unnamed"),
        ("archive:secret", "archive:secret", "unnamed"),
        ("Archive: secret", "Archive: secret", "unnamed"),
        ("my_archive: secret", "my_archive: secret", "unnamed"),
        ("a" * 33 + ": secret", "a" * 33 + ": secret", "unnamed"),
        (": secret", ": secret", "unnamed"),
        ("archive :secret", "archive :secret", "unnamed"),
        ("an archive: secret", "an archive: secret", "unnamed"),
        ("archive:\tsecret", "archive:\tsecret", "unnamed"),
        ("สารบรรณ: secret", "สารบรรณ: secret", "unnamed"),
    ],
)
def test_a_line_of_the_file_has_a_name_only_where_it_looks_like_one(line, key, name):
    assert name_of(f"another\n{line}\n", key) == name
    assert name_of(line, line.strip()) == (name if key == line.strip() else None)


@pytest.mark.parametrize("line", ["archive:", "archive: ", "  archive:  \t"])
def test_a_name_without_a_key_is_refused_and_never_a_key(tmp_path, line):
    with pytest.raises(ValueError, match="after a name"):
        KeyRing.parse_named(f"secret\n{line}\n")
    path = tmp_path / "keys"
    path.write_text(OLD)
    key_file = key_file_at(path)
    path.write_text(f"{NEW}\n{line}\n")
    assert looked(key_file).keys == (OLD.encode(),)


def test_a_key_of_the_environment_has_no_name():
    ring = KeyFile.from_settings(parse_settings({"OCR_SIDECAR_API_KEY": "archive: secret"})).ring
    assert (ring.caller_of("secret"), ring.caller_of("archive: secret").name) == (None, "unnamed")


def test_a_caller_stays_the_same_while_its_key_rotates_and_others_are_told_apart():
    old = KeyRing.parse_named("archive: a\nb\nc")
    new = KeyRing.parse_named("archive: d\narchive: a\nb")
    archive = old.caller_of("a")
    assert archive == new.caller_of("d") == new.caller_of("a")
    unnamed = [old.caller_of("b"), old.caller_of("c")]
    assert [one.name for one in unnamed] == ["unnamed", "unnamed"]
    assert len({archive, *unnamed}) == 3
    assert new.caller_of("b") == unnamed[0]


def test_a_key_that_is_called_like_another_s_content_is_another_caller():
    ring = KeyRing.parse_named("secret\nsecret: other")
    assert ring.caller_of("secret") != ring.caller_of("other")


def test_a_caller_does_not_show_its_key():
    assert OLD not in repr(KeyRing.parse(OLD).caller_of(OLD))


def test_as_many_names_have_labels_as_may_be():
    metrics = Metrics()
    labels = [metrics.key_label(f"key-{number}") for number in range(KEY_LABELS + 9)]
    assert labels == [f"key-{number}" for number in range(KEY_LABELS)] + [OTHERS] * 9
    assert metrics.key_label("key-0") == "key-0"


# ── where keys come from ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_comes_from_the_environment():
    key_file = KeyFile.from_settings(parse_settings({"OCR_SIDECAR_API_KEY": OLD}))
    assert key_file.ring.keys == (OLD.encode(),)


def test_a_file_of_keys_wins_over_the_environment(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{NEW}\n")
    settings = parse_settings({"OCR_SIDECAR_API_KEY": OLD, "OCR_SIDECAR_API_KEY_FILE": str(path)})
    assert KeyFile.from_settings(settings).ring.keys == (NEW.encode(),)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", None])
def test_a_file_without_a_key_is_an_error_that_shows_no_content(tmp_path, content):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="OCR_SIDECAR_API_KEY_FILE"):
        key_file_at(path)


def test_no_key_at_all_is_an_error():
    with pytest.raises(SettingsError, match="OCR_SIDECAR_API_KEY"):
        KeyFile.from_settings(parse_settings({}))


# ── rotation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rewritten_file_rotates_the_key(tmp_path):
    path = tmp_path / "keys"
    path.write_text(OLD)
    key_file = key_file_at(path)
    path.write_text(f"{NEW}\n{OLD}")
    wait_for_key(key_file, NEW)
    assert key_file.ring.caller_of(OLD)
    path.write_text(NEW)
    end = time.monotonic() + DEADLINE_S
    while looked(key_file).caller_of(OLD):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert key_file.ring.caller_of(NEW)


def test_a_secret_that_the_kubelet_swaps_rotates_the_key(tmp_path):
    for version, key in (("..2025_1", OLD), ("..2025_2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "api-keys").write_text(key)
    (tmp_path / "..data").symlink_to("..2025_1")
    (tmp_path / "api-keys").symlink_to("..data/api-keys")
    key_file = key_file_at(tmp_path / "api-keys")
    assert key_file.ring.caller_of(OLD)
    (tmp_path / "..data_tmp").symlink_to("..2025_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    wait_for_key(key_file, NEW)
    assert not key_file.ring.caller_of(OLD)


def test_a_file_that_turns_useless_leaves_the_last_good_keys_in_force(tmp_path):
    damages = {
        "emptied": lambda path: path.write_text(""),
        "blank": lambda path: path.write_text("\n \n"),
        "removed": lambda path: path.unlink(),
        "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
        "a folder": lambda path: (path.unlink(), path.mkdir()),
    }
    files = {name: tmp_path / name for name in damages}
    for path in files.values():
        path.write_text(OLD)
    key_files = {name: key_file_at(path) for name, path in files.items()}
    for name, damage in damages.items():
        damage(files[name])
    for _ in range(3):
        assert {name: looked(key_file).keys for name, key_file in key_files.items()} == dict.fromkeys(
            damages, (OLD.encode(),)
        )
    for name in ("emptied", "removed"):
        files[name].write_text(NEW)
        wait_for_key(key_files[name], NEW)


async def test_the_file_is_looked_at_within_two_seconds(tmp_path):
    path = tmp_path / "keys"
    path.write_text(OLD)
    key_file = key_file_at(path)
    looking = asyncio.create_task(key_file.poll(BlockingPool("keys", 1)))
    path.write_text(NEW)
    await until(lambda: key_file.ring.caller_of(NEW), 2 * POLL_S)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


class SwappedWhileRead(type(Path())):
    """A mounted key that rotates in the moment in which it is read for the first time."""

    def read_text(self, *args, **kwargs):
        text = super().read_text(*args, **kwargs)
        if text == OLD:
            self.write_text(NEW + "\n")
        return text


def test_a_key_that_rotates_while_it_is_first_read_is_not_missed(tmp_path):
    path = SwappedWhileRead(tmp_path / "keys")
    path.write_text(OLD)
    key_file = KeyFile.from_settings(Settings().model_copy(update={"api_key_file": path}))
    wait_for_key(key_file, NEW)


# ── nothing starts without a key ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def serve(tmp_path, port, **environ):
    environ = {"PATH": os.defpath, "OCR_PORT": str(port), "OCR_SPOOL_DIR": str(tmp_path / "spool"), **environ}
    command = [sys.executable, "-m", "sidecar", "serve"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "environ",
    first(
        2,
        [
            {},
            {"OCR_SIDECAR_API_KEY_FILE": "absent"},
            {"OCR_SIDECAR_API_KEY": " "},
            {"OCR_SIDECAR_API_KEY_FILE": "empty"},
        ],
    ),
    ids=str,
)
def test_serve_without_a_key_ends_with_status_2_and_one_line_before_a_port_opens(tmp_path, taken_port, environ):
    (tmp_path / "empty").write_text("\n")
    environ = {name: str(tmp_path / value) if "FILE" in name else value for name, value in environ.items()}
    ended = serve(tmp_path, taken_port, **environ)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert "OCR_SIDECAR_API_KEY" in ended.stderr  # and not, as below, the port that is taken


def test_serve_with_a_key_gets_as_far_as_its_port(tmp_path, taken_port):
    ended = serve(tmp_path, taken_port, OCR_SIDECAR_API_KEY=NEW)
    assert ended.returncode == 2
    assert "port" in ended.stderr.splitlines()[-1]
    assert NEW not in ended.stderr


# ── no key in the code base ───────────────────────────────────────────────────────────────────────────────────────

SOURCES = sorted(Path(sidecar.__file__).parent.rglob("*.py"))
LOOKS_LIKE_A_KEY = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9+_=-][A-Za-z0-9+/_=-]{15,}|[0-9a-f]{16,}|sk-\S+")


def test_no_setting_has_a_key_for_a_default():
    defaults = {name: field.default for name, field in environment_names().items() if "KEY" in name}
    assert {name: str(default or "") for name, default in defaults.items()} == dict.fromkeys(
        [
            "OCR_SIDECAR_API_KEY",
            "OCR_SIDECAR_API_KEY_FILE",
            "OCR_MODEL_KEY_FILE",
            "OCR_KEY_MAX_DOCUMENTS",
            "RETRIEVAL_KEY_MAX_ITEMS",
        ],
        "",
    )


def is_checksum(node: ast.Assign) -> bool:
    """Whether it gives a file's SHA-256, which is no secret, to a name that says so."""
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id.endswith("_SHA256")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_text_in_the_code_looks_like_a_key(path):
    tree = ast.parse(path.read_text())
    sums = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and is_checksum(node)]
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in sums]
    assert [text for text in constants if isinstance(text, str) and LOOKS_LIKE_A_KEY.fullmatch(text)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_name_that_says_key_holds_more_than_the_name_of_a_variable_or_header(path):
    held = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                held.append((name, text))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                held.append((name, text))
            case ast.keyword(arg=str(name), value=ast.Constant(value=str(text))):
                held.append((name, text))
    suspicious = [text for name, text in held if re.search("key|secret|token|password", name, re.IGNORECASE)]
    assert set(suspicious) <= {"", "tokens", "OCR_SIDECAR_API_KEY", "X-API-Key", "key-refused", "key-unreadable"}
