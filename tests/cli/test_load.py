"""The open-loop load: it counts what came back, and a stall from the scheduled times on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cli.load import Load, quantiles, request_bytes, run


@contextmanager
def server(answer: object) -> Iterator[str]:
    """A server whose answers are the statuses that `answer(number)` gives; None breaks the connection."""
    lock, count = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with lock:
                count[0] += 1
                status = answer(count[0])  # type: ignore[operator]
            if status is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        request_queue_size = 512
        daemon_threads = True

    made = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        made.server_close()


def test_every_request_is_counted_once_by_its_status() -> None:
    statuses = {0: 200, 1: 429, 2: 200, 3: 504}
    with server(lambda number: statuses[number % 4]) as url:
        found = run(url, [request_bytes(url, b"{}")], 200, 1.0)
    assert sum(found.answers.values()) == found.sent > 100
    assert found.answers[200] > found.answers[429] > 0 < found.answers[504]
    document = found.document()
    assert document["answers"]["200"] == found.answers[200] == len(found.taken[200])
    assert set(document["latency_ms"]) == {"p50", "p90", "p99", "p99.9", "max"}


def test_a_broken_connection_is_an_error_and_not_the_end() -> None:
    with server(lambda number: None if number == 10 else 200) as url:
        found = run(url, [request_bytes(url, b"{}")], 100, 1.0, patience=3.0)
    assert (found.answers[0], sum(found.answers.values())) == (1, found.sent)
    with server(lambda _: 200) as url:
        pass
    gone = run(url, [request_bytes(url, b"{}")], 50, 0.5)
    assert gone.answers == {0: gone.sent}


def test_a_stall_counts_for_all_that_were_due_meanwhile() -> None:
    def answer(number: int) -> int:
        if number == 20:
            time.sleep(0.5)  # the lock is held: nobody is answered
        return 200

    with server(answer) as url:
        found = run(url, [request_bytes(url, b"{}")], 200, 2.0, connections=4)
    slow = [one for one in found.taken[200] if one > 100]
    assert len(slow) > 40, "a sender that waited for answers would have met the stall four times"


def test_quantiles() -> None:
    assert quantiles([]) == {}
    assert quantiles([3.0, 1.0, 2.0])["p50"] == 2.0
    load = Load(1.0)
    for value in (1.0, 5.0, 9.0):
        load.add(200, value)
    assert load.within(5.0) == 2
