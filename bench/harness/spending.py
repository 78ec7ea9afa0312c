"""CPU time that is spent while something is measured."""

from collections.abc import Callable, Sequence

import psutil


class Spending:
    """Measures something, and notes the CPU time that processes and theirs took for it, in seconds.

    Where other work shares the cores, a rate also tells how many processes competed for them; this does not.
    """

    def __init__(self, processes: Sequence[psutil.Process], measure: Callable[[], float]) -> None:
        self._processes = processes
        self._measure = measure
        self.spent_s: list[float] = []

    def __call__(self) -> float:
        """Measure once, and return what was measured."""
        before_s = self._cpu_s()
        measured = self._measure()
        self.spent_s.append(self._cpu_s() - before_s)
        return measured

    def _cpu_s(self) -> float:
        trees = [one for process in self._processes for one in (process, *process.children(recursive=True))]
        return float(sum(times.user + times.system for times in (one.cpu_times() for one in trees)))
