"""Arguments that commands share, and those of ``jobs``. It needs nothing installed."""

import argparse
from pathlib import Path

from sidecar.cli.formats import FORMATS

KEY_NAME = "OCR_SIDECAR_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8765"
STATES = ("queued", "running", "done", "partial", "failed", "cancelled")
PATIENCE_S = 600.0
"""Long enough for a node that comes up again."""
JOBS_AT_A_TIME = 64
"""Short documents for some ten services; a job costs its sidecar a connection and no memory."""

Parser = argparse.ArgumentParser


def add_reading(parser: Parser) -> None:
    """Add how documents are read, and what is written of them."""
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--json", action="store_true", help="write the whole answer as JSON instead of Markdown")
    written.add_argument(
        "--format",
        choices=FORMATS,
        help="write the document in this format, pdf is a searchable one (default: Markdown, page by page)",
    )
    parser.add_argument("--engine", default="auto", help="auto, or an engine by its name (default: auto)")
    parser.add_argument("--languages", help="languages by Tesseract's names, such as tha+eng")
    parser.add_argument(
        "--verify", choices=("none", "numbers", "all"), help="hold each page against another engine's reading"
    )
    parser.add_argument("--profile", help="the profile to read with, at --url")
    parser.add_argument("--pages", help="page numbers and ranges, such as 1-3,7")
    parser.add_argument(
        "--include", metavar="LIST", help="with --json, what the answer holds besides: words, blocks, image, receipt"
    )


def add_jobs(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add ``jobs`` and its commands."""
    jobs = commands.add_parser(
        "jobs",
        help="hand many documents over, to be read by all services that share a queue",
        description="Hand many documents over as jobs, and look after them. Needs services with OCR_JOBS.",
    )
    kinds = jobs.add_subparsers(dest="jobs_command", metavar="COMMAND", required=True)
    _add_submit(kinds)
    _add_list(kinds)
    watch = kinds.add_parser(
        "watch",
        help="wait until jobs have ended",
        description="Wait until jobs have ended. Exit status 1 if any of them failed or was cancelled.",
    )
    _add_chosen(watch)
    cancel = kinds.add_parser(
        "cancel", help="stop jobs", description="Stop jobs, wherever they are read. Those that have ended stay."
    )
    _add_chosen(cancel)


def _add_submit(kinds: "argparse._SubParsersAction[Parser]") -> None:
    submit = kinds.add_parser(
        "submit",
        help="hand documents over, and write what was read of each",
        description="Hand documents over as jobs. With --output, wait for them, and write what was read of each as "
        "soon as it is there; without, print the jobs' ids. It may be ended at any time, and run again: no document "
        "is read twice. Exit status 1 if any of them failed.",
    )
    submit.add_argument("files", nargs="+", metavar="DIR", help="a folder of documents, or a document")
    _add_services(submit)
    submit.add_argument(
        "--output", type=Path, metavar="DIR", help="write one file a document here; those that exist are skipped"
    )
    submit.add_argument(
        "--priority", choices=("batch", "realtime"), default="batch", help="which jobs go first (default: batch)"
    )
    submit.add_argument("--label", help="what the jobs can be listed, watched and cancelled by")
    submit.add_argument(
        "--retry-failed", action="store_true", help="have documents read again whose job failed in an earlier run"
    )
    add_reading(submit)
    submit.add_argument(
        "--jobs",
        type=int,
        default=JOBS_AT_A_TIME,
        help=f"jobs that are handed over and waited for at a time (default: {JOBS_AT_A_TIME})",
    )


def _add_list(kinds: "argparse._SubParsersAction[Parser]") -> None:
    listed = kinds.add_parser(
        "list",
        help="list the jobs that were made with this key",
        description="List jobs, the oldest first, with tabs: id, state, pages read and in all, priority, when it "
        "came, label, file.",
    )
    _add_services(listed)
    listed.add_argument("--label", help="only those with this label")
    listed.add_argument("--state", choices=STATES, help="only those in this state")
    listed.add_argument("--json", action="store_true", help="print all that is known of each, as JSON")


def _add_chosen(parser: Parser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="of a job")
    parser.add_argument("--label", help="all with this label")
    _add_services(parser)


def _add_services(parser: Parser) -> None:
    parser.add_argument(
        "--url",
        action="append",
        help=f"a service; given several times, each is asked in turn, and all must share one queue (default: "
        f"{DEFAULT_URL}); its key comes from {KEY_NAME}",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_S,
        metavar="SECONDS",
        help=f"how long no service may answer before the command gives up (default: {PATIENCE_S:g})",
    )
