"""HTTP by hand: what no client library would send, and answers read to the letter."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass
from typing import IO, Literal

__all__ = ["Answer", "Attack", "Outcome", "send"]

Ending = Literal["keep", "hesitate", "half-close", "reset"]

_LONGEST = 64 * 1024
_HESITATION = 0.2


@dataclass(frozen=True, slots=True)
class Attack:
    """One connection's worth of bytes, and what may come back.

    Attributes:
        kind: What it is, for the report.
        parts: Sent one after the other; before each but the first, an answer is awaited.
        drip: Sent after them, a byte at a time, until the server has had enough.
        ending: What happens after the last byte: nothing, the sending side is closed (at once, or
            after the server has had the time to answer), or the connection is reset.
        answers: How many answers are awaited after the last part.
        must: The only status that is right, where there is only one.
        never: A status that is wrong.
        answered: Whether a closed connection without an answer is wrong.
        exact: The route whose known request this is: the answer must be the known one.
    """

    kind: str
    parts: tuple[bytes, ...]
    drip: bytes = b""
    ending: Ending = "keep"
    answers: int = 1
    must: int | None = None
    never: int | None = None
    answered: bool = False
    exact: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the server.

    Attributes:
        status: Of it.
        body: All of it, as far as it came.
        whole: Whether it was complete.
    """

    status: int
    body: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attack.

    Attributes:
        answers: In their order; 1xx are left out.
        end: ``done`` (all answers came), ``closed`` (the server closed first), ``hung`` (nothing
            came in time), or ``left`` (no answer was awaited).
        seconds: That it took.
    """

    answers: tuple[Answer, ...]
    end: Literal["done", "closed", "hung", "left"]
    seconds: float


def send(address: tuple[str, int], attack: Attack, *, patience: float, drip: float) -> Outcome:
    """Attack once, on a connection of its own.

    Args:
        address: Of the server.
        attack: What to send.
        patience: Seconds without an answer that count as a hang.
        drip: Seconds between the bytes of one that drips.
    """
    start = time.monotonic()
    answers: list[Answer] = []
    end: Literal["done", "closed", "hung", "left"] = "done"
    with socket.create_connection(address, timeout=patience) as connection:
        reader = connection.makefile("rb")
        try:
            for number, part in enumerate(attack.parts):
                if number:
                    interim = _read(reader)
                    if interim.status >= 200:  # it did not want the rest
                        answers.append(interim)
                        return Outcome(tuple(answers), "done", time.monotonic() - start)
                _send_all(connection, part)
            if attack.drip:
                _drip(connection, attack.drip, drip, patience)
            if attack.ending == "hesitate" and not _answers(connection, patience):
                connection.shutdown(socket.SHUT_WR)
            if attack.ending == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end = "left"
            elif attack.ending == "half-close":
                connection.shutdown(socket.SHUT_WR)
            if end != "left":
                while len(answers) < attack.answers:
                    answer = _read(reader, head=attack.kind.startswith("HEAD"))
                    if answer.status >= 200:
                        answers.append(answer)
        except TimeoutError:
            end = "hung"
        except (OSError, EOFError):
            end = "closed"
        finally:
            with contextlib.suppress(OSError):
                reader.close()
    return Outcome(tuple(answers), end, time.monotonic() - start)


def _send_all(connection: socket.socket, data: bytes) -> None:
    # A server that has heard enough answers and closes: its answer is still to be read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def _answers(connection: socket.socket, patience: float) -> bool:
    connection.settimeout(_HESITATION)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(patience)


def _drip(connection: socket.socket, data: bytes, pause: float, patience: float) -> None:
    until = time.monotonic() + patience
    for place in range(len(data)):
        if time.monotonic() > until:
            raise TimeoutError
        connection.settimeout(pause)
        try:
            connection.sendall(data[place : place + 1])
            if connection.recv(1, socket.MSG_PEEK) is not None:
                break  # an answer, or the end
        except TimeoutError:
            continue
        finally:
            connection.settimeout(patience)


def _read(reader: IO[bytes], *, head: bool = False) -> Answer:
    line = reader.readline(_LONGEST)
    if not line:
        raise EOFError
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        return Answer(0, line, whole=False)
    status = int(rest[:3])
    headers: dict[bytes, bytes] = {}
    while (line := reader.readline(_LONGEST)) not in (b"\r\n", b"\n"):
        if not line:
            return Answer(status, b"", whole=False)
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    if head or status < 200 or status in (204, 304):
        return Answer(status, b"")
    if headers.get(b"transfer-encoding") == b"chunked":
        return _chunked(reader, status)
    if b"content-length" not in headers:
        return Answer(status, reader.read())
    length = int(headers[b"content-length"])
    body = reader.read(length)
    return Answer(status, body, whole=len(body) == length)


def _chunked(reader: IO[bytes], status: int) -> Answer:
    body = bytearray()
    while True:
        size = int(reader.readline(_LONGEST).split(b";")[0] or b"0", 16)
        body += reader.read(size)
        if not reader.readline(_LONGEST):
            return Answer(status, bytes(body), whole=False)
        if not size:
            return Answer(status, bytes(body))
