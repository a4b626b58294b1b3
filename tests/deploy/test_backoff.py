from deploy.supervision.backoff import HEALTHY_LIFE_S, LONGEST_DELAY_S, Backoff


def test_delays_double_up_to_the_longest_and_never_end() -> None:
    backoff = Backoff()
    delays = [backoff.died(0.1) for _ in range(100)]
    assert delays[:4] == [0.5, 1, 2, 4]
    assert delays[-1] == LONGEST_DELAY_S


def test_a_loop_is_told_from_an_accident() -> None:
    backoff = Backoff()
    said = []
    for _ in range(3):
        backoff.died(1)
        said.append(backoff.is_loop)
    assert said == [False, False, True]


def test_a_healthy_life_ends_the_row() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.died(1)
    assert backoff.died(HEALTHY_LIFE_S) == 0.5
    assert not backoff.is_loop
