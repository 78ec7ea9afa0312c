"""Draws pages, in the worker processes, for engines that send them on as pictures."""

from sidecar.documents import document
from sidecar.documents.document import DocumentLimits
from sidecar.documents.pages import PagePicture
from sidecar.ocr.engine import ReadOrder
from sidecar.profiles import prompt
from sidecar.runtime.workers.pool import WorkerPool


class PageDrawer:
    """Draws pages as PNG with at most ``longest_side`` pixels on the longest side, or as many as the recipe says."""

    def __init__(self, workers: WorkerPool, limits: DocumentLimits, longest_side: int) -> None:
        self._workers = workers
        self._limits = limits
        self._longest_side = longest_side

    async def draw(self, order: ReadOrder, index: int) -> tuple[PagePicture, float]:
        """Draw one page, counted from 0; also return the seconds it took, without the wait for a worker."""
        return await self._workers.run_timed(
            document.picture,
            order.document,
            index,
            self._limits,
            order.instructions.recipe.longest_side or self._longest_side,
            prompt.wants_anchors(order.instructions.user_prompt),
            order.wants_receipt,
            deadline_s=order.page_timeout_s,
        )
