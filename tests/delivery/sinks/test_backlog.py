"""Which events may go next: never two of a ticket side by side, none before an earlier one of its ticket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from slad_client.v1 import types_pb2 as pb

from slad.delivery.sinks.backlog import Backlog, Delivery
from slad.storage.rows import ParkedEventRow


def event(sequence: int, ticket: str) -> pb.SlaEvent:
    return pb.SlaEvent(sequence=sequence, tenant_id="acme", ticket_id=ticket)


def parked(sequence: int, ticket: str, attempts: int = 1) -> ParkedEventRow:
    body = event(sequence, ticket).SerializeToString()
    return ParkedEventRow("sink:s", sequence, "acme", ticket, 0, attempts, "no", 1, body)


def backlog(tickets: str) -> Backlog:
    """One event of each letter's ticket, from sequence 1 on."""
    found = Backlog()
    found.add([event(place, ticket) for place, ticket in enumerate(tickets, start=1)], len(tickets))
    return found


def sequences(deliveries: list[Delivery]) -> list[int]:
    return [delivery.event.sequence for delivery in deliveries]


def test_a_ticket_that_is_out_is_passed_over_until_it_is_back() -> None:
    waiting = backlog("aabca")
    first = waiting.take(0, 2)
    assert sequences(first) == [1, 2]
    second = waiting.take(0, 9)
    assert sequences(second) == [3, 4]
    assert waiting.take(0, 9) == []
    waiting.finish(second)
    waiting.give_back(second)
    assert waiting.done == 0, "the first is not finished"
    waiting.finish(first[:1])
    waiting.give_back(first)
    assert waiting.done == 1
    assert sequences(waiting.take(0, 9)) == [2, 5]


def test_one_that_has_to_wait_holds_back_its_ticket_only() -> None:
    waiting = backlog("abab")
    (first,) = waiting.take(0, 1)
    first.not_before_s = 10
    waiting.give_back([first])
    others = waiting.take(9, 9)
    assert sequences(others) == [2, 4]
    waiting.give_back(others)
    assert sequences(waiting.take(10, 9)) == [1, 2, 3, 4]


def test_a_suspect_goes_alone() -> None:
    waiting = backlog("abcd")
    found = waiting.take(0, 4)
    found[1].is_alone = True
    waiting.give_back(found)
    assert [sequences(waiting.take(0, 4)) for _ in range(3)] == [[1], [2], [3, 4]]


def test_the_fewest_attempts_come_first_but_never_past_an_earlier_one_of_the_ticket() -> None:
    waiting = backlog("aabb")
    found = waiting.take(0, 4)
    found[0].attempts, found[2].attempts = 2, 1
    waiting.give_back(found)
    assert sequences(waiting.take_fairly(0)) == [3]
    assert sequences(waiting.take_fairly(0)) == [1]
    assert waiting.take_fairly(0) == []


def test_what_was_parked_goes_first_and_does_not_count_as_new() -> None:
    waiting = Backlog()
    waiting.add([event(11, "a"), event(12, "b")], 12)
    for row in (parked(3, "a"), parked(5, "a"), parked(4, "c")):
        waiting.add_again(row, event(row.sequence, row.ticket_id))
    assert (waiting.new, waiting.again) == (2, 3)
    again = waiting.take(0, 9, again_only=True)
    assert sequences(again) == [3, 5, 4]
    assert sequences(waiting.take(0, 9)) == [12], "a new one of the same ticket waits"
    waiting.finish(again[:1])
    waiting.drop_again(again[1].ticket)
    waiting.give_back(again)
    assert [waiting.is_again(again[place].ticket) for place in (1, 2)] == [False, True]
    assert waiting.done == 10
    assert sequences(waiting.take(0, 9)) == [4, 11]


def test_a_delivery_of_before_a_restart_finishes_nothing_of_after_it() -> None:
    waiting = backlog("a")
    before = waiting.take(0, 1)
    waiting.restart()
    waiting.add([event(1, "a")], 1)
    waiting.finish(before)
    assert waiting.done == 0
    assert waiting.take(0, 1) == [], "its ticket is out still"
    waiting.give_back(before)
    assert sequences(waiting.take(0, 1)) == [1]


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "fairly", "end", "fail"]), st.integers(1, 4)), max_size=120
)


@given(tickets=st.text("abcd", min_size=1, max_size=30), steps=STEPS)
def test_whatever_ends_when_each_ticket_is_in_order_and_done_is_a_beginning(
    tickets: str, steps: list[tuple[str, int]]
) -> None:
    waiting, now = backlog(tickets), 0.0
    out: list[list[Delivery]] = []
    finished: list[Delivery] = []
    for step, number in [*steps, *[("take", 9), ("end", 1)] * 60]:
        now += 1
        if step in ("take", "fairly"):
            found = waiting.take(now, number) if step == "take" else waiting.take_fairly(now)
            mine = {delivery.ticket for delivery in found}
            assert not any(delivery.ticket in mine for others in out for delivery in others)
            if found:
                out.append(found)
        elif out:
            batch = out.pop(number % len(out))
            taken = len(batch) if step == "end" else number % len(batch)
            waiting.finish(batch[:taken])
            finished += batch[:taken]
            for delivery in batch[taken : taken + 1]:
                delivery.attempts += 1
                delivery.not_before_s = now + number
            waiting.give_back(batch)
        assert set(range(1, waiting.done + 1)) <= set(sequences(finished))
    assert waiting.done == len(tickets)
    for ticket in set(tickets):
        of_it = [s for s in sequences(finished) if tickets[s - 1] == ticket]
        assert of_it == sorted(of_it)
