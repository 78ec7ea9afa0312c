"""How documents are to be read, as the command line was told it. Pure."""

import argparse

from sidecar.client import ReadFields
from sidecar.settings import SettingsError

JSON = "json"


def output_of(options: argparse.Namespace) -> str | None:
    """Return the format that was asked for; None: Markdown with a heading for each page."""
    return JSON if options.json else options.format


def fields_of(options: argparse.Namespace) -> ReadFields:
    """Return how the documents are to be read.

    Raises:
        SettingsError: what was asked for has no place in the format.
    """
    if options.include and output_of(options) != JSON:
        raise SettingsError("--include needs --json: other formats have no place for it")
    fields = ReadFields(
        engine=options.engine or None,
        languages=options.languages or None,
        pages=options.pages or None,
        profile=options.profile or None,
        verify=options.verify,
        include=_included(options) if output_of(options) == JSON else None,
    )
    if output := output_of(options):
        fields["output"] = output
    return fields


def _included(options: argparse.Namespace) -> list[str]:
    """Return what the answer is to hold; always a receipt, so that `stale` can tell later how it was made."""
    return [*(options.include.split(",") if options.include else ()), "receipt"]
