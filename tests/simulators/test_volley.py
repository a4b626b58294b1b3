import socket
import threading

import numpy as np
import pytest

from metering.model import ContentFormat
from simulators import datagrams, message
from simulators.datagrams import Rows
from simulators.exchange import Timers
from simulators.exchange_table import ANSWERED, REFUSED, UNKNOWN, ExchangeTable
from simulators.latency import summary_ms
from simulators.message import HEAD
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, plan
from simulators.volley import PORT_RATE, PORTS_MAX, Volley, ports_for

PLAN = Plan(meters=3, reports=400, readings=24, first_s=1_790_000_000, seq_base=7)
FAST = Timers(ack_timeout_s=0.5, max_retransmit=9, unavailable_retries=3)


class Server(threading.Thread):
    """Answers each datagram as `say(datagram, how often it came)` says; None: not at all."""

    def __init__(self, say):
        super().__init__(daemon=True)
        self.say, self.seen = say, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            datagram, peer = self.socket.recvfrom(2048)
            if not datagram:
                return
            if len(datagram) == 4:  # the empty acknowledgement of an answer that came separately
                continue
            came = self.seen[datagram] = self.seen.get(datagram, 0) + 1
            for answer in self.say(datagram, came) or ():
                self.socket.sendto(answer, peer)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", ("127.0.0.1", self.port))
        self.join(60)
        self.socket.close()


def ack(datagram, code=message.CHANGED, options=b""):
    return b"\x64" + bytes((code,)) + datagram[2:8] + options


def play(say, *, closed=False, timers=FAST, planned=PLAN):
    rows = ReportRows(planned)
    due_s = np.zeros(planned.reports)
    table = ExchangeTable(due_s, ports=4, timers=timers)
    with Server(say) as server, Volley("127.0.0.1", server.port, table, rows.fill, rows.row_bytes, ports=4) as volley:
        if closed:
            volley.closed_loop(window=10, seconds=60)
        else:
            volley.open_loop()
    return table, volley, server


@pytest.fixture(params=[True, False], ids=["in bulk", "one by one"])
def _both_ways(request, monkeypatch):
    if request.param and not datagrams.IN_BULK:
        pytest.skip("no sendmmsg here")
    monkeypatch.setattr(datagrams, "IN_BULK", request.param)


@pytest.mark.usefixtures("_both_ways")
def test_every_request_reaches_the_server_as_its_report_and_is_answered():
    table, volley, server = play(lambda datagram, _: [ack(datagram)])
    assert table.count(ANSWERED) == PLAN.reports
    rows = ReportRows(PLAN)
    assert {datagram[8:] for datagram in server.seen} == {rows.tail(number) for number in range(PLAN.reports)}
    assert volley.counts.lost_at_send == 0


def test_a_closed_loop_sends_all_that_there_is():
    table, _, server = play(lambda datagram, _: [ack(datagram)], closed=True)
    assert table.count(ANSWERED) == len(server.seen) == PLAN.reports


def test_what_is_lost_is_sent_again_unchanged():
    table, volley, server = play(lambda datagram, came: [ack(datagram)] if came > 1 or datagram[7] % 4 else None)
    assert table.count(ANSWERED) == PLAN.reports
    assert volley.counts.datagrams_sent >= sum(server.seen.values())
    assert volley.counts.retransmissions >= PLAN.reports // 5
    assert len(server.seen) == PLAN.reports


def test_answers_that_are_not_ours_count_as_stray():
    def say(datagram, _):
        other_token = datagram[:4] + bytes(4)
        return [b"nonsense", ack(other_token), ack(datagram), ack(datagram)]

    table, volley, _ = play(say)
    assert table.count(ANSWERED) == PLAN.reports
    assert volley.counts.stray > 0


def test_unavailable_is_honoured_refusals_are_final_and_an_answer_may_come_separately():
    def say(datagram, _):
        kind = datagram[7] % 4
        if kind == 0 and datagram[8:] not in told:
            told.add(datagram[8:])
            return [ack(datagram, message.SERVICE_UNAVAILABLE, b"\xd1\x01\x00")]
        if kind == 1:
            return [ack(datagram, 0x81)]
        if kind == 2:
            return [b"\x44\x44\x12\x34" + datagram[4:8]]
        return [ack(datagram)]

    told = set()
    table, volley, _ = play(say)
    assert (table.count(REFUSED), table.count(ANSWERED)) == (100, 300)
    assert volley.codes["4.01"] == 100
    assert volley.codes["5.03"] == volley.counts.unavailable_retries == 100


def test_a_closed_port_leaves_all_unknown():
    short = Timers(ack_timeout_s=0.05, max_retransmit=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    rows = ReportRows(PLAN)
    table = ExchangeTable(np.zeros(PLAN.reports), ports=4, timers=short)
    with Volley("127.0.0.1", port, table, rows.fill, rows.row_bytes, ports=4) as volley:
        volley.open_loop()
    assert table.count(UNKNOWN) == PLAN.reports


@pytest.mark.parametrize("content_format", [ContentFormat.CBOR, ContentFormat.JSON])
def test_rows_are_the_tails_one_by_one(content_format):
    planned = plan(rate=100, duration_s=2, meters=30, readings=24, now_s=1_790_000_000.5, offset_s=17)
    rows = ReportRows(planned, content_format)
    data = np.zeros((50, rows.row_bytes), np.uint8)
    numbers = np.arange(120, 170)
    lengths = rows.fill(data, numbers)
    for row, number in enumerate(numbers.tolist()):
        assert data[row, HEAD.size : lengths[row]].tobytes() == rows.tail(number)
        assert rows.tail(number).endswith(rows.payload(number))


def test_there_are_as_many_ports_as_message_ids_need():
    assert ports_for(20_000) * PORT_RATE > 20_000
    with pytest.raises(ValueError, match="message ids"):
        ports_for(2 * PORT_RATE * PORTS_MAX)


def test_a_row_that_is_not_full_arrives_at_its_length():
    rows, arrived = Rows(2, 16), Rows(4, 8)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        rows.data[0, :3], rows.data[1, :5] = 1, 2
        rows.set_lengths(np.array([3, 5]))
        assert rows.send(left, 0, 2) == 2
        assert arrived.receive(right) == 2
        assert arrived.lengths[:2].tolist() == [3, 5]
        assert arrived.receive(right) == 0


def test_percentiles():
    summary = summary_ms(np.arange(1, 1001, dtype=np.float32) / 1000)
    assert (summary["p50"], summary["p90"], summary["p99"], summary["max"]) == (500, 900, 990, 1000)
    assert summary_ms(np.empty(0, np.float32))["p99"] is None
