"""`retrieval check`: how well weights of 8 bits, or half precision, rank an operator's own texts beside float32."""

import argparse
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.environment import SettingsError
from sidecar.retrieval.bge import agreement, hub
from sidecar.retrieval.bge.agreement import NEIGHBOURS, Agreement
from sidecar.retrieval.bge.loading import LoadOptions, OpenVinoMeans
from sidecar.retrieval.bge.models import Reranker
from sidecar.retrieval.model import ModelLoadError
from sidecar.runtime.cores import usable_cores
from sidecar.service.retrieval_wiring import embedding_model
from sidecar.settings import Settings

MIN_TEXTS = 2 * NEIGHBOURS
"""Fewer texts say nothing: almost all are among the first ten."""
MAX_TEXTS = 2000


@dataclass(frozen=True, slots=True)
class Checked:
    """A model that is checked: by what name, from where, and what is compared of it."""

    name: str
    model: Callable[..., Any]
    source: str
    measure: Callable[[Any, Sequence[str]], Any]


def check(options: argparse.Namespace, settings: Settings) -> bool:
    """Print the agreement of each configured model; tell whether all reach what was asked for.

    Raises:
        SettingsError: a file cannot be read, or there are too few texts.
    """
    texts = _texts(options.files)
    models = (
        *(
            Checked(f"embed {one.name}", embedding_model, one.source, agreement.similarities)
            for one in settings.embedders
        ),
        *(Checked(f"rerank {one.name}", Reranker, one.source, agreement.scores) for one in settings.rerankers),
    )
    configured = [one for one in models if one.source]
    if not configured:
        raise SettingsError("neither BGE_M3_MODEL nor RERANKER_MODEL is set: there is nothing to check")
    print(f"{len(texts)} texts, {options.dtype} in OpenVINO beside float32 in torch")
    means = OpenVinoMeans(settings.retrieval_cache_dir.expanduser(), usable_cores(), required=True)
    enough = [_check_one(one, texts, means, options) for one in configured]
    return all(enough)


def _check_one(one: Checked, texts: Sequence[str], means: OpenVinoMeans, options: argparse.Namespace) -> bool:
    try:
        folder = hub.find_model(one.source)
        reference = one.measure(one.model(folder, LoadOptions("float32")), texts)
        gc.collect()  # never both in memory
        found = agreement.agreement(
            reference, one.measure(one.model(folder, LoadOptions(options.dtype, openvino=means)), texts)
        )
    except ModelLoadError as exc:
        print(f"{one.name}: {exc}")
        return False
    enough = _is_enough(found, options)
    verdict = "enough" if enough else f"too little: {options.recall:g} and {options.correlation:g} are asked for"
    print(f"{one.name}: recall@{NEIGHBOURS} {found.recall:.4f}, rank correlation {found.correlation:.4f}: {verdict}")
    return enough


def _is_enough(found: Agreement, options: argparse.Namespace) -> bool:
    return bool(found.recall >= options.recall and found.correlation >= options.correlation)


def _texts(files: Sequence[Path]) -> list[str]:
    lines: list[str] = []
    for file in files:
        try:
            lines += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(f"{file} cannot be read as text: {exc}") from exc
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))[:MAX_TEXTS]
    if len(texts) < MIN_TEXTS:
        raise SettingsError(f"there are {len(texts)} different texts, {MIN_TEXTS} are needed: one in a line")
    return texts
