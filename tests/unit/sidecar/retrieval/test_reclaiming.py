"""Memory of models that leave at the same time is given back for both."""

import gc
import threading
import weakref

from sidecar.retrieval.bge.torch_runtime import reclaim_memory


class Weights:
    """As modules do, it refers to itself."""

    def __init__(self):
        self.own = self


def test_what_is_dropped_while_another_thread_collects_is_collected_as_well():
    begun, other = threading.Event(), []

    def drop_and_reclaim():
        weights = Weights()
        other.append(weakref.ref(weights))
        del weights
        begun.set()
        reclaim_memory()

    second = threading.Thread(target=drop_and_reclaim)

    def during(phase, _info):
        """Called when the first collection has looked at everything, and has not ended: the second comes meanwhile."""
        if phase == "stop" and not begun.is_set():
            second.start()
            begun.wait(10)
            second.join(0.2)  # it would be back at once if nothing kept it waiting

    gc.callbacks.append(during)
    try:
        reclaim_memory()
        second.join(10)
    finally:
        gc.callbacks.remove(during)
    assert other[0]() is None
