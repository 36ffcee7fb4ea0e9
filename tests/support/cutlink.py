"""A TCP proxy that delays connections and cuts open ones in several ways."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16
AT_ONCE = struct.pack("ii", 1, 0)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class CutLink:
    """A context manager that forwards connections from its own `port` to `target`, both on
    loopback.

    A cut affects the connections that are open at that moment; later ones pass. It has taken effect
    when the call returns. `delay_s`: the delay of every byte of later connections, in each
    direction."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.delay_s = 0.0
        self._open: set[Carried] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def black_hole(self) -> None:
        """Forward nothing any more, in either direction; both sockets stay open."""
        self._each(Carried.swallow)

    def reset(self) -> None:
        """Send a TCP reset to both ends."""
        self._each(Carried.reset)

    def half_close(self) -> None:
        """Signal the end of the stream to the client; what the client sends still passes."""
        self._each(Carried.half_close)

    @property
    def carried(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def _each(self, cut: Callable[[Carried], None]) -> None:
        async def all_of_them() -> None:
            for carried in list(self._open):
                cut(carried)

        self._run(all_of_them())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, LOOPBACK, 0)

    async def _carry(self, *near: Any) -> None:
        try:
            far = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            near[1].close()
            return
        carried = Carried(near, far, self.delay_s)
        self._open.add(carried)
        try:
            await carried.run()
        finally:
            self._open.discard(carried)

    def __enter__(self) -> CutLink:
        self._thread.start()
        self._server = self._run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for carried in list(self._open):
            carried.reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


class Carried:
    """One connection: `near` is the client's end, `far` the server's."""

    def __init__(self, near: Any, far: Stream, delay_s: float) -> None:
        for _, writer in (near, far):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers = near[1], far[1]
        self._dark = False
        self._over = asyncio.Event()
        self._there = asyncio.create_task(Way(near[0], far[1], delay_s).run())
        self._back = asyncio.create_task(Way(far[0], near[1], delay_s).run())

    async def run(self) -> None:
        """Forward until both directions have ended or were reset; a black hole never ends."""
        both = asyncio.create_task(asyncio.wait({self._there, self._back}))
        both.add_done_callback(lambda _: self._ended())
        await self._over.wait()
        for writer in self._writers:
            writer.transport.abort()

    def _ended(self) -> None:
        if not self._dark:
            self._over.set()

    def swallow(self) -> None:
        self._dark = True
        for way in (self._there, self._back):
            way.cancel()

    def reset(self) -> None:
        self.swallow()
        for writer in self._writers:
            with suppress(OSError):  # an end that has just closed by itself
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE
                )
            writer.transport.abort()
        self._over.set()

    def half_close(self) -> None:
        self._back.cancel()
        with suppress(OSError):
            self._writers[0].write_eof()


class Way:
    """One direction: bytes are forwarded in order, `delay_s` after they arrived, and so is the end
    of the stream."""

    def __init__(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay_s: float
    ) -> None:
        self._source, self._sink, self._delay_s = source, sink, delay_s
        self._under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        taking = asyncio.create_task(self._take())
        try:
            with suppress(OSError):
                await self._deliver()
        finally:
            taking.cancel()

    async def _take(self) -> None:
        chunk = b"?"
        while chunk:
            try:
                chunk = await self._source.read(CHUNK)
            except OSError:
                chunk = b""
            self._under_way.put_nowait((self._clock() + self._delay_s, chunk))

    async def _deliver(self) -> None:
        while True:
            due, chunk = await self._under_way.get()
            await asyncio.sleep(due - self._clock())
            if not chunk:
                self._sink.write_eof()
                return
            self._sink.write(chunk)
            await self._sink.drain()
