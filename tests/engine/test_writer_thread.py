"""One after the other, errors to who waits, nothing lost when that one leaves."""

from __future__ import annotations

import asyncio
import threading

import pytest

from slad.engine.writer_thread import WriterThread


async def test_it_writes_in_order_on_one_thread_beside_the_loop() -> None:
    written: list[tuple[int, int]] = []
    writer = WriterThread[int](lambda number: written.append((number, threading.get_ident())))
    await asyncio.gather(*(writer.run(number) for number in range(100)))
    writer.close()
    assert [number for number, _ in written] == list(range(100))
    assert len({thread for _, thread in written} - {threading.get_ident()}) == 1


async def test_an_error_goes_to_the_one_who_waits_and_to_no_other() -> None:
    def write(number: int) -> None:
        if number == 1:
            raise OSError("no")

    writer = WriterThread[int](write)
    with pytest.raises(OSError, match="no"):
        await writer.run(1)
    await writer.run(2)
    writer.close()


async def test_what_was_handed_over_is_written_though_its_caller_left() -> None:
    gate, written = threading.Event(), []

    def write(number: int) -> None:
        gate.wait(30)
        written.append(number)

    writer = WriterThread[int](write)
    asking = asyncio.create_task(writer.run(1))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.set()
    writer.close()
    assert written == [1]


async def test_closing_one_that_was_never_used_is_nothing() -> None:
    WriterThread[int](print).close()
