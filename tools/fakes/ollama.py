"""A fake of Ollama's native HTTP API: scriptable, strict about requests, faithful about models in memory.

    async with FakeOllama(latency_s=0.5, parallel=4) as fake:
        fake.script([Answer("a page"), Answer(trap=Trap.CUT)])
        …  # the code under test talks to fake.url
        assert fake.chats[0].options == {"temperature": 0.1}

Compared with Ollama's source of 2026-08-21, between 0.32 and 0.33: `server/sched.go`, `server/routes.go`,
`llm/llama_server.go`, `llm/status.go`, `api/types.go`. By hand: `python -m tools.fakes.ollama --help`.

What it does not do:

- It pulls nothing, computes nothing and embeds nothing; it has no OpenAI or Anthropic endpoints, no cloud models, no
  `/api/pull`, `create`, `copy`, `delete`, `push` or `blobs`. `logprobs` are accepted and not answered.
- It refuses what Ollama ignores: unknown fields and options, and values of a wrong type that Ollama would convert.
- It counts no tokens: no context overflows by itself (script `Answer.failure(400, ...)`), `truncate` does nothing.
- It stops no repetition: script `Trap.CUT` for Ollama up to 0.33, which ends the stream after 30 equal tokens, or
  `Answer.failure(500, ...)` for later ones. A thinking model does not think unless the script says so.
- A model takes `size_mb` whatever its context, `num_batch` and `OLLAMA_NUM_PARALLEL`. Ollama's own guess of it is left
  out, and that some families (qwen3vl, mllama and others) never run in parallel. A model fits if it is no larger than
  the free memory; Ollama wants it to be at most 0.8 of that: set `memory.fit_share`. Nothing is retried with a smaller
  context.
- The vision encoder's buffer is there from the beginning of a call with a picture to its end, the same for each. Out of
  memory comes from it alone, never from a load.
- Freed memory shows at once; Ollama waits up to 5 s for it, and NVML may lag for as long.
- There is one GPU, and no part of a model moves to the CPU but what does not fit when it is loaded alone.
- `OLLAMA_MAX_QUEUE` is endless (script `Answer.busy()`), `OLLAMA_KEEP_ALIVE` is 5 minutes.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from tools.fakes.fake_server import run_until_stopped
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


def fake_for(arguments: argparse.Namespace, answers: list[Answer]) -> FakeOllama:
    """What the command line describes."""
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
    return fake


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 2 for a script that cannot be used and a port that is taken."""
    parsed = parse_arguments(arguments)
    try:
        asyncio.run(run_until_stopped(fake_for(parsed, parse_script(parsed.script) if parsed.script else [])))
    except (ScriptError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
