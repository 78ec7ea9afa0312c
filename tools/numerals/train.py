"""``python -m tools.numerals.train`` (``make train-numerals``): train the network and write its weights.

The target of each column of a strip is whether a glyph has its middle there, and which: positions are known, so no
alignment must be inferred, as with CTC. Some thousand generated pieces of lines are used, each several times with other
noise. The same seed on the same machine gives the same weights.
"""

import argparse
import multiprocessing
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sidecar.engines.numerals.alphabet import CLASSES
from sidecar.engines.numerals.strips import HEIGHT
from sidecar.runtime.cores import usable_cores
from tools.numerals.fonts import TRAINED, find_fonts
from tools.numerals.lines import Sample, make_sample

WEIGHTS = Path(__file__).parents[2] / "sidecar" / "engines" / "numerals" / "weights.npz"
SAMPLES = 9000
EPOCHS = 5
BATCH = 24
SEED = 13
CHUNK = 250
"""Samples that one process makes at a time; the seed of each chunk is its number, so cores do not matter."""
LEARNING_RATE = 4e-3
MIDDLE = 0.22
"""Share of a glyph's width, to each side of its middle, that must be classified as the glyph."""
EDGE = 0.36
"""Share beyond which it must be classified as a gap; in between either is right, and any other glyph wrong."""
GAP_WEIGHT = 0.4
"""Weight of a column between glyphs: there are more of them than of any glyph."""
CHANNELS = (16, 32, 48, 64)


class Network(nn.Module):
    """Six convolutions, a class for every other column; the same as in :mod:`sidecar.engines.numerals.network`."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = CHANNELS
        self.a = nn.Conv2d(1, one, 5, stride=2, padding=2)
        self.b = nn.Conv2d(one, two, 3, stride=(2, 1), padding=1)
        self.c = nn.Conv2d(two, three, 3, stride=(2, 1), padding=1)
        self.d = nn.Conv2d(three, four, (HEIGHT // 8, 3), padding=(0, 1))
        self.e = nn.Conv2d(four, four, (1, 5), padding=(0, 2))
        self.f = nn.Conv2d(four, 1 + len(CLASSES), (1, 5), padding=(0, 2))

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        """Take strips, (count, 1, HEIGHT, columns); return scores, (count, classes, columns / 2)."""
        x = torch.relu(self.a(ink))
        x = torch.relu(self.b(x))
        x = torch.relu(self.c(x))
        x = torch.relu(self.d(x))
        x = x + torch.relu(self.e(x))
        return self.f(x).squeeze(2)


def make_samples(count: int, families: tuple[str, ...], seed: int) -> list[Sample]:
    """Make samples on all cores; the same ones on any number of them."""
    jobs = [(families, seed * 1_000_003 + chunk, min(CHUNK, count - chunk)) for chunk in range(0, count, CHUNK)]
    with multiprocessing.get_context("fork").Pool(usable_cores()) as pool:
        return [sample for chunk in pool.starmap(_make_chunk, jobs, chunksize=1) for sample in chunk]


def _make_chunk(families: tuple[str, ...], seed: int, count: int) -> list[Sample]:
    dice, noise, fonts = random.Random(seed), np.random.default_rng(seed), find_fonts(families)
    return [make_sample(dice, noise, fonts) for _ in range(count)]


def targets(sample: Sample, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each output column's target, and whether a gap is also right; a column covers two of the strip."""
    wanted, edges = np.zeros(columns, np.int64), np.zeros(columns, bool)
    at = np.arange(columns) * 2 + 1.0
    for glyph, left, right in sample.glyphs:
        off = np.abs(at - (left + right) / 2)
        near = off < EDGE * max(right - left, 4.0)
        wanted[near], edges[near] = glyph, True
    for glyph, left, right in sample.glyphs:
        off = np.abs(at - (left + right) / 2)
        middle = (off < MIDDLE * (right - left)) | (off == off.min())
        wanted[middle], edges[middle] = glyph, False
    return wanted, edges


def loss_of(scores: torch.Tensor, wanted: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean of the targets' negative log-likelihoods over all columns."""
    logs = functional.log_softmax(scores, dim=1)
    hits = logs.gather(1, wanted[:, None])[:, 0]
    hits = torch.where(edges, torch.logaddexp(hits, logs[:, 0]), hits)
    weights = torch.where(wanted == 0, GAP_WEIGHT, 1.0)
    return -(hits * weights).sum() / weights.sum()


def batches(samples: Sequence[Sample], size: int, dice: random.Random) -> list[list[Sample]]:
    """Shuffle, and group samples of similar width."""
    ordered = sorted(samples, key=lambda sample: sample.ink.shape[1] + dice.uniform(-12, 12))
    made = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    dice.shuffle(made)
    return made


def collate(batch: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    wide = (max(sample.ink.shape[1] for sample in batch) + 9) // 2 * 2
    ink = np.zeros((len(batch), 1, HEIGHT, wide), np.float32)
    wanted = np.zeros((len(batch), wide // 2), np.int64)
    edges = np.zeros((len(batch), wide // 2), bool)
    for row, sample in enumerate(batch):
        ink[row, 0, :, : sample.ink.shape[1]] = sample.ink
        wanted[row], edges[row] = targets(sample, wide // 2)
    return torch.from_numpy(ink), torch.from_numpy(wanted), torch.from_numpy(edges)


def vary(ink: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Augment the strips slightly and cheaply: height by a row, strength, noise."""
    rows = int(torch.randint(-1, 2, (1,), generator=generator))
    strength = 0.8 + 0.45 * torch.rand((len(ink), 1, 1, 1), generator=generator)
    grain = 0.06 * torch.rand((len(ink), 1, 1, 1), generator=generator)
    return (torch.roll(ink, rows, 2) * strength + grain * torch.randn(ink.shape, generator=generator)).clamp(0, 1)


def train(samples: Sequence[Sample], epochs: int) -> Network:
    torch.manual_seed(SEED)
    dice, generator = random.Random(SEED), torch.Generator().manual_seed(SEED)
    network = Network().to(memory_format=torch.channels_last)
    steps = epochs * -(-len(samples) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        total = 0.0
        for batch in batches(samples, BATCH, dice):
            ink, wanted, edges = collate(batch)
            seen = vary(ink, generator).to(memory_format=torch.channels_last)
            loss = loss_of(network(seen), wanted, edges)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(samples):.4f}", flush=True)
    return network


def write(network: Network, path: Path) -> None:
    arrays = {
        name.replace(".", "_"): value.detach().numpy().astype(np.float16)
        for name, value in network.state_dict().items()
    }
    np.savez(path, **arrays)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.numerals.train", description="Train the reader of numerals.")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    began_s = time.monotonic()
    samples = make_samples(options.samples, TRAINED, SEED)
    print(f"{len(samples)} pieces of lines made in {time.monotonic() - began_s:.0f} s", flush=True)
    network = train(samples, options.epochs)
    write(network, options.output)
    print(f"{options.output.name}: {options.output.stat().st_size} bytes, in {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
