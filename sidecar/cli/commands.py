"""``python -m sidecar``: serve, read documents, check what is installed."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.cli.arguments import KEY_NAME, add_jobs, add_reading

if TYPE_CHECKING:
    from sidecar.settings import Settings

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # as a shell reports SIGINT
EXIT_UNHEARD = 141  # as a shell reports SIGPIPE
INSTALL = {
    "torch": "retrieval",
    "FlagEmbedding": "retrieval",
    "transformers": "retrieval",
    "openvino": "openvino",
    "mcp": "mcp",
    "uvicorn": "mcp",
    "starlette": "mcp",
}
"""The extra that installs a library which the plain install lacks."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return EXIT_USAGE
    try:
        return _run(options, environ)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("sidecar"):
            raise  # our own bug
        return _tell(missing(exc.name))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _unheard()


def _unheard() -> int:
    """End quietly: what reads our output has left, as ``head`` does; Python must not find that out once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_UNHEARD


def missing(library: str) -> str:
    """Name the missing library, and the command that installs it."""
    name = library.partition(".")[0]
    extra = f"[{INSTALL[name]}]" if name in INSTALL else ""
    return f"{name} is not installed: pip install --constraint requirements.lock '.{extra}'"


def _run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from sidecar.documents.spool import SpoolError  # noqa: PLC0415 - --help and --version need nothing installed
    from sidecar.settings import SettingsError  # noqa: PLC0415 - likewise

    commands: dict[str, Callable[[], int]] = {
        "serve": lambda: _serve(environ),
        "ocr": lambda: _ocr(options, environ),
        "jobs": lambda: _jobs(options, environ),
        "mcp": lambda: _mcp(options, environ),
        "doctor": lambda: _doctor(environ),
        "retrieval": lambda: _check(options, environ),
        "fetch": lambda: _fetch(environ),
        "stale": lambda: _stale(options, environ),
    }
    try:
        return commands[options.command]()
    except (SettingsError, SpoolError) as exc:
        return _tell(str(exc))


def _tell(mistake: str) -> int:
    print(f"ocr-sidecar: {mistake}", file=sys.stderr)
    return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sidecar",
        description="Reads scanned and digital documents (PDF, PNG, JPEG, TIFF, WebP, BMP) in Thai and English.",
        epilog="Settings come from the environment; docs/configuration.md lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"ocr-sidecar {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="run the HTTP service", description="Run the HTTP service until SIGTERM.")
    _add_ocr(commands)
    add_jobs(commands)
    _add_retrieval(commands)
    _add_mcp(commands)
    _add_stale(commands)
    commands.add_parser(
        "doctor",
        help="tell what is installed and what is not",
        description="Tell what is there, and how to get the rest.",
    )
    commands.add_parser(
        "fetch",
        help="download the models of embed and rerank, and RapidOCR's for Thai",
        description="Download the models that BGE_M3_MODEL, RERANKER_MODEL or RETRIEVAL_MODELS name into the cache "
        "(HF_HOME), and RapidOCR's Thai model into OCR_RAPIDOCR_DIR, if the libraries that run them are installed. "
        "serve finds them there without a network. Exit status 1 if one cannot be downloaded.",
    )
    return parser


def _add_retrieval(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    retrieval = commands.add_parser("retrieval", help="try embed and rerank on texts of your own")
    check = retrieval.add_subparsers(dest="retrieval", metavar="COMMAND", required=True).add_parser(
        "check",
        help="measure how far OpenVINO in fewer bits agrees with float32",
        description="Rank the texts of files, one in each line, by float32 in torch and by fewer bits in OpenVINO, and "
        "print how far both agree. Exit status 1 if they agree less than asked for.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a text in each line, 20 or more in all")
    check.add_argument("--dtype", choices=("int8", "bfloat16", "float32"), default="int8", help="default: int8")
    check.add_argument("--recall", type=float, default=0.95, help="least recall@10 (default: 0.95)")
    check.add_argument("--correlation", type=float, default=0.99, help="least rank correlation (default: 0.99)")


def _add_ocr(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ocr = commands.add_parser(
        "ocr",
        help="read documents and print their text",
        description="Read documents and print their text as Markdown. Exit status 1 if any of them failed.",
    )
    ocr.add_argument(
        "files", nargs="+", metavar="FILE", help="a document, a folder of documents, or - for standard input"
    )
    where = ocr.add_mutually_exclusive_group()
    where.add_argument("--url", help=f"read with the service at this URL; its key comes from {KEY_NAME}")
    where.add_argument("--embedded", action="store_true", help="read on this machine (the default)")
    ocr.add_argument(
        "--output", type=Path, metavar="DIR", help="write one file a document here; those that exist are skipped"
    )
    add_reading(ocr)
    ocr.add_argument("--jobs", type=int, default=4, help="documents that are read at a time (default: 4)")


def _add_mcp(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    mcp = commands.add_parser(
        "mcp",
        help="offer a running service to a language model, by the Model Context Protocol",
        description="Offer a running service to a language model as tools, by the Model Context Protocol: on standard "
        "input and output, or over HTTP, where callers bring the service's keys.",
    )
    mcp.add_argument(
        "--url",
        default="http://127.0.0.1:8765",
        help=f"where the service is (default: http://127.0.0.1:8765); its key comes from {KEY_NAME}",
    )
    mcp.add_argument("--folder", type=Path, metavar="DIR", help="documents that may be read; without it, none may")
    mcp.add_argument("--http", metavar="HOST:PORT", help="serve over HTTP here, instead of standard input and output")


def _add_stale(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stale = commands.add_parser(
        "stale",
        help="list results that were made in another way than a page would be read in now",
        description="List which results of `ocr --json`, or kept streams, were made with another profile's revision, "
        "model, prompt, recipe, engine or service than a page would be read with now. Exit status 1 if any is out of "
        "date, 3 if none is and some cannot be judged.",
    )
    stale.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a folder of results, or a file of them")
    stale.add_argument("--profile", help="the profile that they would be read with; without it, the default one")
    how = stale.add_mutually_exclusive_group()
    how.add_argument(
        "--url",
        default="http://127.0.0.1:8765",
        help=f"the service that is asked (default: http://127.0.0.1:8765); its key comes from {KEY_NAME}",
    )
    how.add_argument("--told", type=Path, metavar="FILE", help="what GET /provenance answered, instead of asking")
    stale.add_argument(
        "--ignore", metavar="CAUSES", help="causes that do not count, with commas, such as service,engine"
    )


def _stale(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from sidecar.cli.stale import list_stale  # noqa: PLC0415 - as above

    return list_stale(options, environ.get(KEY_NAME, ""))


def _mcp(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if find_spec("mcp") is None:
        return _tell(missing("mcp"))
    from sidecar.mcp.transports import Wanted, WrongUsageError, parse_address, run  # noqa: PLC0415 - as above

    try:
        http = parse_address(options.http) if options.http else None
        asyncio.run(run(Wanted(options.url, environ.get(KEY_NAME, ""), options.folder, http)))
    except WrongUsageError as exc:
        return _tell(str(exc))
    return 0


def _serve(environ: Mapping[str, str]) -> int:
    from sidecar.settings import parse_settings  # noqa: PLC0415 - as above

    settings = parse_settings(environ)  # a mistake there is reported before anything is loaded
    from sidecar.service.server import serve  # noqa: PLC0415 - likewise
    from sidecar.telemetry import configure_logging  # noqa: PLC0415 - likewise

    configure_logging(settings.log_level)
    asyncio.run(serve(settings))
    return 0


def _ocr(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from sidecar.cli.reading import read_documents  # noqa: PLC0415 - as above

    return EXIT_FAILED if read_documents(options, environ, environ.get(KEY_NAME, "")) else 0


def _jobs(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from sidecar.cli.jobs.running import run_jobs  # noqa: PLC0415 - as above

    return 0 if run_jobs(options, environ.get(KEY_NAME, "")) else EXIT_FAILED


def _doctor(environ: Mapping[str, str]) -> int:
    from sidecar.cli.doctor import doctor  # noqa: PLC0415 - as above

    return doctor(environ)


def _check(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from sidecar.settings import parse_settings  # noqa: PLC0415 - as above

    settings = parse_settings(environ)
    for library in ("torch", "FlagEmbedding", "openvino"):
        if find_spec(library) is None:
            return _tell(missing(library))
    from sidecar.cli.agreeing import check  # noqa: PLC0415 - as above

    return 0 if check(options, settings) else EXIT_FAILED


def _fetch(environ: Mapping[str, str]) -> int:
    from sidecar.settings import parse_settings  # noqa: PLC0415 - as above

    settings = parse_settings(environ)
    from sidecar.engines.rapidocr.installation import find_models  # noqa: PLC0415 - as above
    from sidecar.retrieval.bge.hub import is_installed  # noqa: PLC0415 - as above

    reads = find_models(settings.thai_model_dir) is not None
    if not is_installed() and not reads:
        return _tell(missing("FlagEmbedding" if find_spec("torch") else "torch"))
    fetched = [_fetch_thai(settings)] if reads and settings.rapidocr_thai_url else []
    if is_installed():
        fetched += [_fetch_model(one.source) for one in (*settings.embedders, *settings.rerankers) if one.source]
    return 0 if all(fetched) else EXIT_FAILED


def _fetch_thai(settings: "Settings") -> bool:
    """Download RapidOCR's Thai model, if it is not there yet; print the outcome."""
    from sidecar.cli import download  # noqa: PLC0415 - as above
    from sidecar.engines.rapidocr import installation  # noqa: PLC0415 - as above

    path = settings.thai_model_dir / installation.THAI_RECOGNISER
    print("RapidOCR's Thai model: ", end="", flush=True)
    try:
        if not download.is_file(path, installation.THAI_SHA256):
            expected = installation.THAI_SHA256, installation.THAI_MAX_BYTES
            download.download(settings.rapidocr_thai_url, path, *expected)
    except download.DownloadError as exc:
        print(exc)
        return False
    print(f"in {path}")
    return True


def _fetch_model(source: str) -> bool:
    from sidecar.retrieval.bge.hub import find_model  # noqa: PLC0415 - as above
    from sidecar.retrieval.model import ModelLoadError  # noqa: PLC0415 - as above

    print(f"{source}: ", end="", flush=True)  # a download takes minutes
    try:
        print(f"in {find_model(source)}")
    except ModelLoadError as exc:
        print(exc)
        print(f"{source}: {exc.__cause__ or exc}", file=sys.stderr)
        return False
    return True
