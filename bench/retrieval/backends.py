"""The same models computed by torch and by OpenVINO, each in a service of its own, measured in turn."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.harness import load
from bench.harness.figure import Figure, at_least, in_turn, rate, ratio
from bench.harness.service import Service, running_service
from sidecar.retrieval.bge import openvino_runtime

BACKENDS = {
    "torch": {"RETRIEVAL_BACKEND": "torch"},
    "OpenVINO": {"RETRIEVAL_BACKEND": "openvino"},
    "OpenVINO int8": {"RETRIEVAL_BACKEND": "openvino", "RETRIEVAL_DTYPE": "int8"},
}
TARGET = 1.25


def backend_figures(
    models: dict[str, Path],
    requests: Mapping[str, Sequence[bytes]],
    callers: int,
    rounds: int,
    wait: Callable[[Service], None],
) -> list[Figure]:
    """Compare requests a second of so many callers, and the latency of one, of each route."""
    if not openvino_runtime.is_installed():
        return [Figure("OpenVINO", "not installed: pip install '.[openvino]'")]
    settings = {name: str(path) for name, path in models.items()} | {"RETRIEVAL_DEVICE": "cpu"}
    figures = []
    with ExitStack() as stack:
        ports = {}
        for name, backend in BACKENDS.items():
            service = stack.enter_context(running_service(**settings, **backend))
            wait(service)
            ports[name] = service.port
        for route, each in requests.items():
            figures += _compared(route, each, ports, callers, rounds)
    return figures


def _compared(route: str, requests: Sequence[bytes], ports: dict[str, int], callers: int, rounds: int) -> list[Figure]:
    def pace(port: int) -> Callable[[], float]:
        return lambda: len(requests) / load.seconds_for(port, requests, callers)

    def single(port: int) -> Callable[[], float]:
        few = requests[: max(8, len(requests) // 4)]
        return lambda: load.seconds_for(port, few, 1) / len(few) * 1000

    for port in ports.values():
        pace(port)()  # each backend compiles its code for these shapes
    rates = dict(zip(ports, in_turn(rounds, *map(pace, ports.values())), strict=True))
    alone = dict(zip(ports, in_turn(rounds, *map(single, ports.values())), strict=True))
    figures = []
    for name in ports:
        figures.append(Figure(f"{route} by {name}: {callers} callers", rate(rates[name], "texts/s")))
        figures.append(Figure(f"{route} by {name}: one caller", rate(alone[name], "ms")))
    faster, shown = ratio(rates["OpenVINO"], rates["torch"])
    return [
        *figures,
        at_least(f"{route} by OpenVINO: {callers} callers, of torch", shown, faster, TARGET),
        Figure(
            f"{route} by OpenVINO int8: {callers} callers, of torch", ratio(rates["OpenVINO int8"], rates["torch"])[1]
        ),
        Figure(f"{route} by OpenVINO: one caller, of torch", ratio(alone["OpenVINO"], alone["torch"])[1]),
    ]
