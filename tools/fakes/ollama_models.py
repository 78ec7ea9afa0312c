"""The models in the fake Ollama's memory: loading, waiting for room, eviction, keep_alive. Independent of HTTP."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

DEFAULT_CONTEXTS = ((47 << 10, 262_144), (23 << 10, 32_768), (0, 4096))  # from so many MiB of VRAM on: tokens
MIN_VISION_CONTEXT = 2048  # tokens; Ollama raises num_ctx to this for vision models
DEFAULT_KEEP_ALIVE_S = 300.0  # OLLAMA_KEEP_ALIVE
MAX_LOADED = 3  # models; OLLAMA_MAX_LOADED_MODELS with one GPU
RELOADING_OPTIONS = ("num_batch", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")  # and those of `Runner`


class ManualClock:
    """A clock that stands still until a test moves it: for keep_alive times without waiting."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class Model:
    """An installed model."""

    name: str
    size_mb: int = 5000
    load_s: float = 0.0
    parallel: int = 1  # OLLAMA_NUM_PARALLEL
    image_mb: int = 0  # the vision encoder's buffer while a call with a picture runs; /api/ps does not count it
    max_context: int = 131_072  # tokens the model was trained for, the maximum
    capabilities: tuple[str, ...] = ("completion", "vision")


@dataclass(frozen=True, slots=True)
class Runner:
    """The parameters of a loaded model. A request that needs others has the model reloaded."""

    context_length: int
    shift: bool = True
    num_gpu: int = -1  # layers on the GPU; negative: as many as fit, any number is accepted
    others: tuple[object, ...] = ()

    def serves(self, wanted: "Runner") -> bool:
        """Whether a request that wants this runner can use it as it is loaded."""
        same_gpu = wanted.num_gpu < 0 or wanted.num_gpu == self.num_gpu
        return same_gpu and replace(wanted, num_gpu=self.num_gpu) == self


def default_context(vram_mb: int) -> int:
    """The context of a model that nobody gave one."""
    return next(tokens for from_mb, tokens in DEFAULT_CONTEXTS if vram_mb >= from_mb)


def plan_runner(model: Model, options: Mapping[str, object], vram_mb: int, *, shift: bool = True) -> Runner:
    """The parameters with which Ollama would load this model for these (checked) options."""
    wanted = int(str(options.get("num_ctx", default_context(vram_mb))))
    least = MIN_VISION_CONTEXT if "vision" in model.capabilities else 4
    return Runner(
        context_length=min(max(wanted, least), model.max_context),
        shift=shift,
        num_gpu=int(str(options.get("num_gpu", -1))),
        others=tuple(options.get(name) for name in RELOADING_OPTIONS),
    )


@dataclass(slots=True, eq=False)
class Resident:
    """A model in memory."""

    model: Model
    runner: Runner
    size_vram_mb: int
    keep_alive_s: float  # infinite: never
    used_s: float  # the time when its last request ended, or when it was loaded
    slots: asyncio.Semaphore
    running: int = 0
    buffers_mb: int = 0  # of the calls with pictures that run
    expires_s: float | None = None  # on the clock; None until its first request has ended

    @property
    def is_expired_at(self) -> float:
        """When it is due to leave; never while a request runs."""
        return math.inf if self.running or self.expires_s is None else self.expires_s


@dataclass(slots=True)
class History:
    """Which models were loaded and unloaded, in order, by name."""

    loads: list[str] = field(default_factory=list)
    aborted_loads: list[str] = field(default_factory=list)  # the client disconnected while the model was loading
    reloads: list[str] = field(default_factory=list)  # unloaded to be reloaded with another runner
    aborts: list[str] = field(default_factory=list)  # ran out of memory
    unloads: list[str] = field(default_factory=list)  # unloaded by keep_alive or by request
    evictions: list[str] = field(default_factory=list)  # unloaded to make room for another


class OutOfMemoryError(Exception):
    """A runner wanted more of the GPU than there was, and aborted."""


class Memory:
    """The models in memory. Loads one at a time, in the order of the requests, as Ollama's scheduler does."""

    def __init__(self, vram_mb: int, clock: Callable[[], float], max_loaded: int = MAX_LOADED) -> None:
        self.vram_mb = vram_mb
        self.fit_share = 1.0  # of the free memory that a model may take without eviction; Ollama 0.33: 0.8 of its guess
        self.foreign_mb = 0  # what others than Ollama hold on the GPU
        self.most_used_mb = 0
        self.max_loaded = max_loaded
        self.history = History()
        self._clock = clock
        self._residents: dict[str, Resident] = {}
        self._loading = asyncio.Lock()
        self._changed = asyncio.Event()

    def residents(self) -> list[Resident]:
        """The models in memory now, without the expired ones."""
        for resident in list(self._residents.values()):
            if resident.is_expired_at <= self._clock():
                self._leave(resident, self.history.unloads)
        return list(self._residents.values())

    def expires_s(self, resident: Resident) -> float:
        """When it will expire, on the clock; during its first request, as Ollama reports: as if that ended now."""
        return self._clock() + resident.keep_alive_s if resident.expires_s is None else resident.expires_s

    @contextlib.asynccontextmanager
    async def using(self, model: Model, wanted: Runner, keep_alive_s: float | None) -> AsyncIterator[Resident]:
        """Have the model in memory with this runner while the block runs; waits for room and for the load."""
        resident = self._usable(model, wanted) or await self._load(model, wanted)
        resident.running += 1
        if keep_alive_s is not None:
            resident.keep_alive_s = keep_alive_s
        try:
            yield resident
        finally:
            self._finish(resident)

    def holds(self, resident: Resident) -> bool:
        """Whether this runner is still there."""
        return self._residents.get(resident.model.name) is resident

    @property
    def used_mb(self) -> int:
        """What the GPU would report as used, over all its users."""
        return self.foreign_mb + sum(one.size_vram_mb + one.buffers_mb for one in self._residents.values())

    @contextlib.contextmanager
    def encoding(self, resident: Resident, images: int) -> Iterator[None]:
        """Hold the vision encoder's buffer during a call with pictures; pictures of one call follow one another.

        Raises:
            OutOfMemoryError: there is no room. The runner is gone, and the others leave as soon as they are idle:
                `expireRunnersForRuntimeOOM` in Ollama's `server/sched.go`.
        """
        buffer_mb = resident.model.image_mb if images else 0
        if buffer_mb > self.vram_mb - self.used_mb:
            self._abort(resident)
            raise OutOfMemoryError
        resident.buffers_mb += buffer_mb
        self._note_use()
        try:
            yield
        finally:
            resident.buffers_mb -= buffer_mb

    def _abort(self, resident: Resident) -> None:
        resident.buffers_mb = 0
        self._leave(resident, self.history.aborts)
        for other in list(self._residents.values()):
            self.unload(other.model)

    def _note_use(self) -> None:
        self.most_used_mb = max(self.most_used_mb, self.used_mb)

    def unload(self, model: Model) -> None:
        """Drop the model, at once if it is idle, else when its last request ends."""
        resident = self._residents.get(model.name)
        if resident is not None:
            resident.keep_alive_s = 0.0
            resident.expires_s = self._clock()
            if not resident.running:
                self._leave(resident, self.history.unloads)

    def occupy(self, model: Model, context_length: int, keep_alive_s: float, *, busy: bool) -> None:
        """Put the model into memory at once, without evicting any; busy: as if a request ran forever."""
        self.free(model)
        resident = self._place(model, Runner(context_length, others=(None,) * len(RELOADING_OPTIONS)))
        resident.keep_alive_s = keep_alive_s
        resident.running = int(busy)
        resident.expires_s = self._clock() + keep_alive_s

    def free(self, model: Model) -> None:
        """Remove the model from memory at once, without counting it."""
        resident = self._residents.get(model.name)
        if resident is not None:
            self._leave(resident, [])

    def clear(self) -> None:
        """Forget all models, as a restart does."""
        self._residents.clear()
        self._wake()

    def _usable(self, model: Model, wanted: Runner) -> Resident | None:
        self.residents()
        resident = self._residents.get(model.name)
        return resident if resident is not None and resident.runner.serves(wanted) else None

    async def _load(self, model: Model, wanted: Runner) -> Resident:
        async with self._loading:
            while (resident := self._usable(model, wanted)) is None:
                leaving = self._next_to_leave(model, wanted)
                if leaving is None:
                    return await self._bring(model, wanted)
                if leaving.running:
                    await self._changed.wait()
                elif leaving.model.name == model.name:
                    self._leave(leaving, self.history.reloads)
                else:
                    self._leave(leaving, self.history.evictions)
            return resident

    def _next_to_leave(self, model: Model, wanted: Runner) -> Resident | None:
        """Which model must be unloaded first: itself, if loaded with other parameters, or an idle one, or None.

        Ollama takes the idle model with the shortest keep_alive, the first by name among equals, and a busy one only
        when none is idle: then the request waits for it.
        """
        if model.name in self._residents:
            return self._residents[model.name]
        fits = wanted.num_gpu == 0 or model.size_mb <= self.fit_share * self._free_mb()
        if not self._residents or (fits and len(self._residents) < self.max_loaded):
            return None
        return min(self._residents.values(), key=lambda one: (one.running > 0, one.keep_alive_s, one.model.name))

    async def _bring(self, model: Model, wanted: Runner) -> Resident:
        try:
            await asyncio.sleep(model.load_s)
        except asyncio.CancelledError:
            self.history.aborted_loads.append(model.name)
            raise
        self.history.loads.append(model.name)
        return self._place(model, wanted)

    def _place(self, model: Model, runner: Runner) -> Resident:
        on_gpu_mb = 0 if runner.num_gpu == 0 else min(model.size_mb, max(self._free_mb(), 0))
        resident = Resident(
            model, runner, on_gpu_mb, DEFAULT_KEEP_ALIVE_S, self._clock(), asyncio.Semaphore(model.parallel)
        )
        self._residents[model.name] = resident
        self._note_use()
        return resident

    def _free_mb(self) -> int:
        return self.vram_mb - self.used_mb

    def _finish(self, resident: Resident) -> None:
        resident.running -= 1
        resident.used_s = self._clock()
        if not resident.running:
            resident.expires_s = self._clock() + resident.keep_alive_s
            if resident.keep_alive_s <= 0:
                self._leave(resident, self.history.unloads)
        self._wake()

    def _leave(self, resident: Resident, counted_in: list[str]) -> None:
        if self._residents.get(resident.model.name) is resident:
            del self._residents[resident.model.name]
            counted_in.append(resident.model.name)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
