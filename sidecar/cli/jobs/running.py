"""Runs a command of ``jobs``: connects, shows how far it is, and makes an exit status of what came of it."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from rich.console import Console

from sidecar.cli.arguments import DEFAULT_URL
from sidecar.cli.documents import SUFFIXES, check_targets, find_documents, is_empty, split_done
from sidecar.cli.formats import SUFFIXES_OF
from sidecar.cli.jobs.fleet import Fleet, LostError, open_fleet
from sidecar.cli.jobs.looking import cancel_jobs, list_jobs, watch_jobs
from sidecar.cli.jobs.report import Report
from sidecar.cli.jobs.submitting import Order, Submitter
from sidecar.cli.requests import fields_of, output_of
from sidecar.cli.telling import say
from sidecar.client import ClientError
from sidecar.settings import SettingsError

Command = Callable[[Fleet, argparse.Namespace, Report], Awaitable[None]]
COMMANDS: dict[str, tuple[Command, str]] = {
    "list": (list_jobs, "listed"),
    "watch": (watch_jobs, "done"),
    "cancel": (cancel_jobs, "cancelled, or had ended"),
}


def run_jobs(options: argparse.Namespace, api_key: str) -> bool:
    """Run the command; tell whether all went well.

    Raises:
        SettingsError: what was asked for makes no sense, or no service takes jobs.
    """
    console = Console(stderr=True)
    if options.jobs_command == "submit":
        return _submit(options, api_key, console)
    command, outcome = COMMANDS[options.jobs_command]
    if options.jobs_command != "list" and not (options.ids or options.label):
        raise SettingsError(f"jobs {options.jobs_command} needs ids of jobs, or --label")
    return _run(command, options, api_key, console, None, outcome)


def _submit(options: argparse.Namespace, api_key: str, console: Console) -> bool:
    output = output_of(options)
    again = frozenset({"cancelled", "failed"} if options.retry_failed else {"cancelled"})
    order = Order(fields_of(options), output, options.priority, options.label, again)
    empty = [name for name in options.files if is_empty(name)]
    for name in empty:
        say(console, f"{name}: there is no document in this folder; accepted are {', '.join(sorted(SUFFIXES))}", "red")
    documents = list(find_documents(options.files, options.output, SUFFIXES_OF[output]))
    check_targets(documents, options.output)
    todo, done = split_done(documents)
    if done:
        say(console, f"{done} of {len(documents)} documents are already done")
    if not todo:
        return not empty

    async def submit(fleet: Fleet, options: argparse.Namespace, report: Report) -> None:
        await Submitter(fleet, order, report).submit_all(todo, max(1, options.jobs))

    outcome = "done" if options.output else "handed over"
    return _run(submit, options, api_key, console, len(todo), outcome) and not empty


def _run(  # noqa: PLR0913, PLR0917 - the outer edge: everything meets here
    command: Command, options: argparse.Namespace, api_key: str, console: Console, total: int | None, outcome: str
) -> bool:
    with Report.shown(console, total) as report:
        try:
            asyncio.run(_connected(command, options, api_key, report))
        except LostError as exc:
            report.warn(f"{exc}; run it again to continue")
            return False
        except ClientError as exc:
            report.warn(str(exc))
            return False
        except KeyboardInterrupt:
            report.tell(f"interrupted: {report.done} are {outcome}; run it again to continue")
            raise
    say(console, f"{report.done} {outcome}, {report.failed} failed")
    return not report.failed


async def _connected(command: Command, options: argparse.Namespace, api_key: str, report: Report) -> None:
    async with open_fleet(options.url or [DEFAULT_URL], api_key, options.patience, report.warn) as fleet:
        await command(fleet, options, report)
