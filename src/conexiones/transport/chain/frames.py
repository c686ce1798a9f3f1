"""Letting go of what the frames of an error hold.

They refer to the request and to replies on their way, and frames and errors refer to each other. If they were
left to the garbage collector, refused images of 60 MB would pile up, as would replies of 1 MB that nobody
reads any more.
"""

import gc
import traceback
from types import FrameType, TracebackType


def clear_frames(trace: TracebackType | None) -> None:
    """Clears the frames that are over. One error may be that of many calls, such as all that waited for a
    transaction: then there are frames of others, who may wait for something in a `finally` right now. Before
    Python 3.13, to clear such a frame would close its coroutine."""
    for frame, _ in traceback.walk_tb(trace):
        if _is_over(frame):
            frame.clear()


def forget_frames(error: BaseException) -> None:
    """Takes the frames out of an error and of all that it came from."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            chain += (one.__cause__, one.__context__)
            clear_frames(one.__traceback__)
            one.__traceback__ = None


def _is_over(frame: FrameType) -> bool:
    # A frame that runs or waits belongs to its thread or its coroutine, and refers to nothing by itself.
    return frame.f_code in gc.get_referents(frame)
