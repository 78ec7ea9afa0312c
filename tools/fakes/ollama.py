"""A fake of Ollama's native HTTP API: scriptable, strict about requests, faithful about models in memory.

    async with FakeOllama(latency_s=0.5, parallel=4) as fake:
        fake.script([Answer("a page"), Answer(trap=Trap.CUT)])
        …  # the code under test talks to fake.url
        assert fake.chats[0].options == {"temperature": 0.1}

It has no OpenAI endpoints, pulls nothing and computes nothing. By hand: `python -m tools.fakes.ollama --help`.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tools.fakes.ollama_answers import Answer, ScriptError, Trap, parse_script
from tools.fakes.ollama_calls import Call, Outcome
from tools.fakes.ollama_models import ManualClock, Model
from tools.fakes.ollama_server import OCR_MODEL, FakeOllama

__all__ = ["OCR_MODEL", "Answer", "Call", "FakeOllama", "ManualClock", "Model", "Outcome", "Trap"]

OLLAMA_PORT = 11434


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.fakes.ollama", description="A fake Ollama.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=OLLAMA_PORT, help="0: a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before the first token of each page")
    parser.add_argument("--per-token", type=float, default=0.0, help="seconds before each further token")
    parser.add_argument("--load", type=float, default=0.0, help="seconds to load a model")
    parser.add_argument("--parallel", type=int, default=1, help="pages at a time a model")
    parser.add_argument("--vram-mb", type=int, default=16_384)
    parser.add_argument("--model", action="append", help=f"an installed model; again for more; default: {OCR_MODEL}")
    parser.add_argument("--script", type=Path, help="JSON: a list of answers, by the fields of Answer")
    return parser.parse_args(arguments)


async def serve(arguments: argparse.Namespace, answers: list[Answer]) -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    fake = FakeOllama(
        arguments.model or [OCR_MODEL],
        vram_mb=arguments.vram_mb,
        latency_s=arguments.latency,
        per_token_s=arguments.per_token,
        parallel=arguments.parallel,
        load_s=arguments.load,
        host=arguments.host,
        port=arguments.port,
    )
    fake.script(answers)
    async with fake:
        print(fake.url, flush=True)
        await stopped.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 2 for a script that cannot be used and a port that is taken."""
    parsed = parse_arguments(arguments)
    try:
        asyncio.run(serve(parsed, parse_script(parsed.script) if parsed.script else []))
    except (ScriptError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
