from __future__ import annotations

import asyncio

import pytest

from benchmarks.calls import Get
from benchmarks.client import ask
from benchmarks.load import load
from tests.benchmarks.scripted import chunked, plain, scripted


def call() -> Get:
    """Asks for something that has 42 in it."""
    return Get("/", token="t", containing=b"42")


def test_every_answer_of_a_slow_server_is_counted_once() -> None:
    async def slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(plain(b"42"))

    with scripted(slowly) as server:
        found = load(server.port, call(), seconds=0.3, clients=4)
    assert found.answers == len(server.asked)
    assert 0 < len(found.took_seconds) < found.answers
    assert min(found.took_seconds) >= 0.02
    # Four clients who wait for at least 20 ms each.
    assert len(found.took_seconds) / sum(found.took_seconds) * 4 == pytest.approx(found.rate, 0.5)
    assert found.rate <= 4 / 0.02


def test_clients_who_are_all_answered_together_get_the_rate_that_there_is() -> None:
    waiting: list[asyncio.StreamWriter] = []

    async def together(_head: bytes, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)
        if len(waiting) == 4:
            await asyncio.sleep(0.1)
            for one in waiting:
                one.write(plain(b"42"))
            waiting.clear()

    with scripted(together) as server:
        found = load(server.port, call(), seconds=0.25, clients=4)
    # Three or four rounds: to count one of the four answers too many would show.
    assert found.rate <= 4 / 0.1
    assert len(found.took_seconds) % 4 == 0


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"42", status=503),
        plain(b"41"),
        b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n42",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["status", "body", "cut off", "not HTTP"],
)
def test_one_wrong_answer_ends_the_load(answer: bytes) -> None:
    async def wrongly(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if b"100" in answer:
            writer.close()

    with scripted(wrongly) as server, pytest.raises(Exception, match=r"503|41|closed|Expected"):
        load(server.port, call(), seconds=0.2, clients=1)


def test_an_answer_that_changes_ends_the_load() -> None:
    answers = [plain(b"42"), plain(b"42"), plain(b"4200")]

    async def otherwise(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    with scripted(otherwise) as server, pytest.raises(AssertionError, match="4200"):
        load(server.port, call(), seconds=5, clients=1)


def test_a_body_in_chunks_is_whole() -> None:
    async def in_pieces(_head: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in chunked(b"one, ", b"two"):
            writer.write(bytes([byte]))
            await writer.drain()

    with scripted(in_pieces) as server:
        answer = ask(server.port, b"GET / HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"one, two")


def test_the_first_piece_and_the_end_of_an_answer_are_timed_from_the_request() -> None:
    async def slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
        first, last = chunked(b"one, "), chunked(b"two")
        await asyncio.sleep(0.02)
        writer.write(first.removesuffix(b"0\r\n\r\n"))
        await asyncio.sleep(0.03)
        writer.write(last.partition(b"\r\n\r\n")[2])

    with scripted(slowly) as server:
        answer = ask(server.port, b"GET / HTTP/1.1\r\n\r\n")
    assert answer.body == b"one, two"
    assert 0.02 <= answer.first_seconds <= answer.took_seconds - 0.03
