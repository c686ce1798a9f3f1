"""What an error holds is let go of, and nobody else is harmed."""

import asyncio
import gc
import weakref

from conexiones.transport.chain.frames import forget_frames


class Request:
    pass


async def test_what_the_frames_of_an_error_hold_is_let_go_of() -> None:
    async def refuse(request: Request) -> None:
        held.append(weakref.ref(request))
        try:
            raise KeyError
        except KeyError as error:
            raise ValueError from error

    held: list[weakref.ref[Request]] = []
    gc.disable()
    try:
        try:
            await refuse(Request())
        except ValueError as error:
            forget_frames(error)
        assert held[0]() is None
    finally:
        gc.enable()


async def test_who_has_the_same_error_goes_on() -> None:
    """As all do that waited for one transaction: one has been answered, another one still ends its stream."""
    shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def stream() -> str:
        try:
            await shared
        except OSError as error:
            ending.set()
            await may_end.wait()
            return type(error).__name__
        return ""

    slow = asyncio.create_task(stream())
    await asyncio.sleep(0)
    shared.set_exception(OSError())
    await ending.wait()
    error = shared.exception()
    assert error
    forget_frames(error)
    may_end.set()
    assert await slow == "OSError"
