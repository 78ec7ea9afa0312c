"""The command line: run, mirror, render. The environment is read here and nowhere else."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from controller.settings import Settings, SettingsError, parse_settings

if TYPE_CHECKING:
    from controller.mirror.mirror import Mirror

EXIT_FAILED = 1
EXIT_USAGE = 2
INSTALL = "pip install --constraint requirements.lock '.[controller]'"


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return EXIT_USAGE
    try:
        return _dispatch(options, environ)
    except SettingsError as exc:
        print(f"ocr-controller: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] in {"controller", "sidecar"}:
            raise  # our own bug
        print(f"ocr-controller: {exc.name} is not installed: {INSTALL}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


def _dispatch(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    match options.command:
        case "run":
            return _run(environ)
        case "mirror":
            return _mirror(options, environ)
        case _:
            return _render(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m controller",
        description="Turns OcrProfile resources into the ConfigMap that the sidecars read.",
        epilog="Settings come from the environment; docs/configuration.md lists them all.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the controller", description="Run the controller until SIGTERM.")
    mirror = commands.add_parser(
        "mirror",
        help="mirror the database once, or into a folder without Kubernetes",
        description="Read the rows once and apply what differs. Exit status 1 if something could not be done. With "
        "--output, the profiles become files for a sidecar on this host, and no cluster is needed.",
    )
    mirror.add_argument("--once", action="store_true", help="read the rows once, then end")
    mirror.add_argument("--output", type=Path, metavar="DIR", help="folder to write to, until SIGTERM without --once")
    mirror.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
    render = commands.add_parser(
        "render",
        help="write OcrProfile manifests as the files that a sidecar reads",
        description="Write each profile as the ConfigMap would hold it. Exit status 1 if one is invalid.",
    )
    render.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    render.add_argument("files", nargs="*", type=Path, metavar="FILE.yaml", help="manifests; none: standard input")
    return parser


# ── run ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run(environ: Mapping[str, str]) -> int:
    settings = parse_settings(environ)
    from controller.ops.telemetry import configure_logging  # noqa: PLC0415 - a mistake in the settings is told first

    configure_logging(settings.log_level)
    asyncio.run(_serve(settings, environ))
    return 0


async def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    from controller.app import open_controller  # noqa: PLC0415 - likewise

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # kopf takes them over when it starts
        loop.add_signal_handler(number, stop.set)
    async with open_controller(settings, environ.get("KUBECONFIG")) as (controller, _):
        await controller.run(stop)


# ── mirror ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mirror(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = parse_settings(environ)
    if not settings.mirrors:
        raise SettingsError("DATABASE_URL is unset: there is nothing to mirror")
    if options.output:
        return asyncio.run(_mirror_folder(settings, options))
    if not options.once:
        raise SettingsError("mirror needs --once, or --output DIR; in a cluster, run mirrors all the time")
    return asyncio.run(_mirror_cluster(settings, environ, is_dry=options.dry_run))


async def _mirror_cluster(settings: Settings, environ: Mapping[str, str], *, is_dry: bool) -> int:
    from controller.app import mirrored_namespace, open_mirror  # noqa: PLC0415 - render needs none of this
    from controller.kube.api_client import open_cluster  # noqa: PLC0415 - likewise

    cluster = await open_cluster(environ.get("KUBECONFIG"), settings.request_timeout_s, lambda *_: None)
    try:
        async with open_mirror(settings, cluster, mirrored_namespace(settings, cluster)) as mirror:
            return await _mirror_once(mirror, is_dry=is_dry)
    finally:
        await cluster.close()


async def _mirror_folder(settings: Settings, options: argparse.Namespace) -> int:
    from controller.app import open_mirror  # noqa: PLC0415 - as above
    from controller.mirror.folder import ProfileFolder, hold  # noqa: PLC0415 - likewise
    from controller.publish.render import write_profiles  # noqa: PLC0415 - likewise

    try:
        with hold(options.output):
            async with open_mirror(settings, ProfileFolder(options.output, write_profiles), "") as mirror:
                if options.once:
                    return await _mirror_once(mirror, is_dry=options.dry_run)
                await _mirror_until_stopped(mirror, settings, str(options.output))
                return 0
    except BlockingIOError:
        raise SettingsError(f"another mirror writes to the folder {options.output}") from None
    except OSError as exc:
        raise SettingsError(f"the folder {options.output} cannot be written: {exc.strerror}") from exc


async def _mirror_until_stopped(mirror: "Mirror", settings: Settings, folder: str) -> None:
    from controller.app import open_mirror_ops  # noqa: PLC0415 - as above
    from controller.ops.telemetry import configure_logging  # noqa: PLC0415 - as above

    configure_logging(settings.log_level)
    async with open_mirror_ops(settings, mirror, folder):
        running = asyncio.create_task(mirror.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with suppress(asyncio.CancelledError):
            await running


async def _mirror_once(mirror: "Mirror", *, is_dry: bool) -> int:
    from controller.errors import ClusterError  # noqa: PLC0415 - as above
    from controller.mirror.database import DatabaseError  # noqa: PLC0415 - likewise
    from controller.mirror.plan import render_plan  # noqa: PLC0415 - likewise

    try:
        plan = await (mirror.check() if is_dry else mirror.run_once())
    except (DatabaseError, ClusterError) as exc:
        print(f"ocr-controller: {exc}", file=sys.stderr)
        return EXIT_FAILED
    print(render_plan(plan) if plan else mirror.facts.down_reason or mirror.facts.cluster_reason)
    return 0 if plan and not mirror.facts.cluster_reason else EXIT_FAILED


# ── render ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _render(options: argparse.Namespace) -> int:
    from controller.publish.render import ManifestError, read_manifests, write_profiles  # noqa: PLC0415 - see above

    try:
        texts = [(str(path), path.read_text(encoding="utf-8")) for path in options.files]
        texts = texts or [("standard input", sys.stdin.read())]
        manifests = [body for source, text in texts for body in read_manifests(source, text)]
        problems = write_profiles(manifests, options.output)
    except (ManifestError, OSError, UnicodeDecodeError) as exc:
        print(f"ocr-controller: {exc}", file=sys.stderr)
        return EXIT_FAILED
    for problem in problems:
        print(f"ocr-controller: {problem}", file=sys.stderr)
    return EXIT_FAILED if problems else 0


if __name__ == "__main__":
    sys.exit(main())
