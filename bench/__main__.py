"""``python -m bench``: measure, and print each figure beside its target."""

import argparse
import sys

from bench.controller import publication
from bench.harness import machine
from bench.harness.figure import print_table
from bench.ocr import (
    accuracy,
    dialects,
    fast_path,
    lease,
    memory,
    model_pages,
    ocr_throughput,
    openai_pages,
    responsiveness,
    startup,
)
from bench.quality import certainty, numerals, suite
from bench.retrieval import throughput

BENCHMARKS = {
    "ocr_throughput": ocr_throughput.run,
    "model_pages": model_pages.run,
    "openai_pages": openai_pages.run,
    "lease": lease.run,
    "fast_path": fast_path.run,
    "dialects": dialects.run,
    "responsiveness": responsiveness.run,
    "startup": startup.run,
    "memory": memory.run,
    "accuracy": accuracy.run,
    "numerals": numerals.run,
    "quality": suite.run,
    "certainty": certainty.run,
    "controller": publication.run,
    "retrieval": throughput.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it works, measures nothing")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"{unknown[0]} is not a benchmark; there are {', '.join(BENCHMARKS)}")
    print(machine.describe() + ("; quick: the figures mean little" if options.quick else ""), flush=True)
    for name in options.names or BENCHMARKS:
        print_table(name, BENCHMARKS[name](quick=options.quick))
    return 0


if __name__ == "__main__":
    sys.exit(main())
