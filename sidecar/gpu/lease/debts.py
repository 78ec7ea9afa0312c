"""What the lease owes, on disk, and which process may lease: one a GPU, the one that has the lock.

What a dead process owed, the next holder of the lock gives back.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sidecar.gpu.lease.state import Owed
from sidecar.gpu.state_folder import StateFile, StateFolder

LOCKED = "another process leases this GPU"
NOT_KEPT = "it cannot be kept on disk which model is to be loaded again"


class OwedFile(BaseModel):
    """What is owed, and which models of ours have to leave first."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    owed: tuple[Owed, ...] = ()
    ours: tuple[str, ...] = ()


class Debts:
    """The debts of one GPU. ``is_ours``: this process has the lock; ``obstacle`` says why not.

    ``is_known``: what is on disk is known. A folder that did not answer in time may still have written it.
    """

    def __init__(self, folder: StateFolder, gpu_index: int = 0) -> None:
        self._folder = folder
        self._file = StateFile(folder, f"owed-gpu{gpu_index}.json", OwedFile)
        self._lock_name = f"lease-gpu{gpu_index}.lock"
        self._on_disk: tuple[Owed, ...] = ()
        self.is_ours = False
        self.is_known = True
        self.obstacle: str | None = LOCKED

    async def claim(self) -> OwedFile:
        """Take the lock, if nobody has it; return what a process before this one owed, which may be nothing.

        While that cannot be read, nothing is ours: a lease would write over what is owed.
        """
        self.is_ours = False
        if not await self._folder.lock(self._lock_name):
            self.obstacle = self._folder.failure or LOCKED
            return OwedFile()
        known = await self._file.load() or OwedFile()
        if not self._file.is_read:
            self.obstacle = self._folder.failure
            return OwedFile()
        self.is_ours, self.obstacle, self._on_disk = True, None, known.owed
        return known

    async def others_owe(self) -> bool:
        """Tell whether another process has sent the LLM away, and perhaps died since."""
        if self.is_ours:
            return False
        known = await self._file.load()
        return bool(known and known.owed)

    async def remember(self, owed: tuple[Owed, ...], ours: frozenset[str]) -> str | None:
        """Have on disk what is owed; return why it is not, if so."""
        if owed != self._on_disk or not self.is_known:
            self.is_known = await self._file.save(OwedFile(owed=owed, ours=tuple(sorted(ours))))
            if not self.is_known:
                return f"{NOT_KEPT}: {self._folder.failure}"
            self._on_disk = owed
        return None
