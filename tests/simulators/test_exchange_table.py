import numpy as np

from simulators.exchange import Timers
from simulators.exchange_table import ANSWERED, PAUSED, REFUSED, SENT, UNKNOWN, ExchangeTable

NOW = 1_000.0
TIMERS = Timers(ack_timeout_s=2.0, ack_random_factor=1.0, max_retransmit=2, unavailable_retries=1)


def sent_table(count=10, timers=TIMERS):
    table = ExchangeTable(np.full(count, NOW), ports=2, timers=timers, seed=1)
    numbers = np.arange(count)
    table.assign(numbers, numbers // 5)
    table.sent(numbers, NOW)
    return table, numbers


def answer(table, numbers, port, now=NOW + 0.1):
    return table.answered(table.tokens(numbers), table.message_ids(numbers), port, now)


def repeats(table, until, step=0.05):
    """(number of ticks from NOW, numbers) of each repetition."""
    found = []
    for tick in range(round(until / step)):
        again, _ = table.due(NOW + tick * step)
        if len(again):
            found.append((tick, again.tolist()))
    return found


def test_an_answer_counts_once_and_only_with_its_token_message_id_and_port():
    table, numbers = sent_table()
    first = numbers[:5]
    assert answer(table, first, port=1) == 0
    assert table.answered(table.tokens(first), table.message_ids(first) ^ 1, 0, NOW) == 0
    assert table.answered(table.tokens(first) + 1000, table.message_ids(first), 0, NOW) == 0
    assert answer(table, np.r_[first, first], port=0) == 5
    assert answer(table, first, port=0) == 0
    assert (table.waiting, table.count(ANSWERED)) == (5, 5)
    assert np.allclose(table.latency_s[first], 0.1, atol=1e-4)


def test_message_ids_of_a_port_are_all_different():
    table, numbers = sent_table(10)
    assert len(set(table.message_ids(numbers[:5]).tolist())) == 5


def test_repeats_come_after_2_s_then_4_s_and_the_request_is_unknown_8_s_later():
    table, numbers = sent_table()
    answer(table, numbers[1:5], port=0)
    answer(table, numbers[5:], port=1)
    (first, whose), (second, whose_again) = repeats(table, 15)
    assert whose == whose_again == [0]
    assert 40 <= first <= 42  # ticks of 50 ms
    assert 120 <= second <= 124
    assert (table.states[0], table.waiting) == (UNKNOWN, 0)


def test_unavailable_is_tried_again_with_a_new_message_id_after_max_age_and_once_only():
    table, numbers = sent_table(1)
    old = int(table.message_ids(numbers)[0])
    token = int(table.tokens(numbers)[0])
    table.due(NOW)
    assert table.unavailable(token, old, 0, 5.0, NOW)
    assert table.states[0] == PAUSED
    assert not table.unavailable(token, old, 0, 5.0, NOW)
    assert not len(table.due(NOW + 4.9)[1])
    again, over = table.due(NOW + 5.1)
    assert (again.tolist(), over.tolist()) == ([], [0])
    table.assign(over, table.ports(over))
    table.sent(over, NOW + 5.1)
    assert (table.states[0], table.waiting) == (SENT, 1)
    new = int(table.message_ids(numbers)[0])
    assert new != old
    assert table.unavailable(token, new, 0, 5.0, NOW + 5.2)
    assert (table.states[0], table.waiting) == (UNKNOWN, 0)


def test_refusals_and_resets_end_a_request():
    table, numbers = sent_table()
    token, message_id = int(table.tokens(numbers)[0]), int(table.message_ids(numbers)[0])
    assert table.refused(token, message_id, 0)
    assert not table.refused(token, message_id, 0)
    assert table.reset(int(table.message_ids(numbers)[1]), 0)
    assert (table.states[0], table.states[1], table.waiting) == (REFUSED, UNKNOWN, 8)
    assert table.message_id_of(token) == message_id
    assert table.message_id_of(token + 1_000_000) == -1
