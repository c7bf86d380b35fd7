"""Where subscriptions begin: with the newest update, or behind the last one that was handled."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer, serving
from support.updates import numbers, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RemoteError
from laplace_server.stream import EndedEpoch


@pytest.fixture
def client(kind: Kind, server: ServerLHC) -> Iterator[Any]:
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client


def taken(subscription: Any, upto: int) -> list[tuple[int, int]]:
    """Number and lost_before of the updates up to one."""
    found: list[tuple[int, int]] = []
    while not found or found[-1][0] < upto:
        update = subscription.next(PATIENCE_S)
        found.append((update.seq, update.lost_before))
    return found


# ---- the newest


def test_the_newest_comes_at_once_and_then_all_that_follow(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 100)
    with client.subscribe("s", start="newest") as subscription:
        assert taken(subscription, 100) == [(100, 0)]
        publish(server, 101, 200)
        assert taken(subscription, 200) == [(n, 0) for n in range(101, 201)]
        assert (subscription.lost, subscription.lag) == (0, 0)
        # Counted once it is sent: it may have come before.
        wait_until(lambda: server.stats().subscribers[0].sent == 101, "all is counted")
        (seen,) = server.stats().subscribers
        assert (seen.first, seen.lost, seen.lag) == (100, 0, 0)


def test_the_newest_of_an_empty_stream_is_waited_for(server: ServerLHC, client: Any) -> None:
    with client.subscribe("s", start="newest") as subscription:
        with pytest.raises(TimeoutError):
            subscription.next(0.05)
        publish(server, 1, 3)
        assert taken(subscription, 3) == [(1, 0), (2, 0), (3, 0)]
        assert subscription.lost == 0


def test_of_a_stream_declared_later_the_newest_is_its_first(server: ServerLHC, kind: Kind) -> None:
    with kind(address_of(server), timeout_s=0.1) as client:
        with client.subscribe("late", start="newest") as subscription:
            for n in range(1, 11):
                assert server.publish("late", {"n": n}) == n
            assert taken(subscription, 10) == [(n, 0) for n in range(1, 11)]


def test_the_newest_with_latest_only(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 100)
    with client.subscribe("s", start="newest", latest_only=True) as subscription:
        assert taken(subscription, 100) == [(100, 0)]


def test_the_newest_is_kept_however_large_it_is(server: ServerLHC, client: Any) -> None:
    server.declare_stream("s", history_bytes=0)
    for n in range(3):
        server.publish("s", {"a": np.full(100_000, n, "f8")})
    with client.subscribe("s", start="newest") as subscription:
        update = subscription.next(PATIENCE_S)
        assert (update.seq, update.lost_before, update.data["a"][-1]) == (3, 0, 2.0)


def test_the_newest_of_a_publisher_that_waits_for_its_subscribers(
    server: ServerLHC, client: Any
) -> None:
    server.declare_stream("s", history_count=1, policy="block", block_timeout_s=PATIENCE_S)
    publish(server, 1, 5)
    with client.subscribe("s", start="newest") as subscription:
        publishing = threading.Thread(target=publish, args=(server, 6, 300))
        publishing.start()
        assert taken(subscription, 300) == [(n, 0) for n in range(5, 301)]
        publishing.join(PATIENCE_S)


def test_after_a_restart_of_the_server_all_comes_not_the_newest_alone(
    make_server: MakeServer, kind: Kind
) -> None:
    server = make_server()
    publish(server, 1, 5)
    address = address_of(server)
    with kind(address, timeout_s=PATIENCE_S) as client:
        with client.subscribe("s", start="newest") as subscription:
            assert taken(subscription, 5) == [(5, 0)]
            server.stop()
            again = make_server(address=address, start=False)
            publish(again, 1, 4)
            again.start()
            assert taken(subscription, 4) == [(n, 0) for n in range(1, 5)]
            (ended,) = subscription.ended
            assert ended == EndedEpoch(ended.epoch, 5, 1, 0, 5, True)


# ---- behind the last one


def test_a_client_started_anew_goes_on_exactly(server: ServerLHC, kind: Kind) -> None:
    publish(server, 1, 500)
    got: list[int] = []
    start: Any = "oldest"
    for count in (1, 7, 100, 1, 391):
        with kind(address_of(server), timeout_s=PATIENCE_S) as client:
            with client.subscribe("s", start=start) as subscription:
                for _ in range(count):  # more may have come, of which nobody has heard
                    update = subscription.next(PATIENCE_S)
                    got.append(update.seq)
                    start = json.loads(json.dumps(update.following))
                assert (subscription.lost, subscription.ended) == (0, ())
    assert got == list(range(1, 501))


def test_one_that_has_had_all_waits_for_the_next(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 3)
    with client.subscribe("s", start=(server.epoch, 3)) as subscription:
        with pytest.raises(TimeoutError):
            subscription.next(0.05)
        publish(server, 4, 5)
        assert taken(subscription, 5) == [(4, 0), (5, 0)]


def test_one_that_has_had_none_begins_with_the_first(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 3)
    with client.subscribe("s", start=(server.epoch, 0)) as subscription:
        assert taken(subscription, 3) == [(1, 0), (2, 0), (3, 0)]


def test_what_has_left_the_history_meanwhile_is_lost(server: ServerLHC, client: Any) -> None:
    server.declare_stream("s", history_count=10)
    publish(server, 1, 100)
    with client.subscribe("s", start=(server.epoch, 50)) as subscription:
        assert taken(subscription, 100) == [(91, 40), *((n, 0) for n in range(92, 101))]
        assert subscription.lost == 40


def test_of_another_life_of_the_server_all_that_there_is_comes(
    make_server: MakeServer, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_server()
    publish(first, 1, 50)
    address, epoch = address_of(first), first.epoch
    first.stop()
    second = make_server(address=address)
    second.declare_stream("s", history_count=5)
    publish(second, 1, 8)
    with kind(address, timeout_s=PATIENCE_S) as client:
        with client.subscribe("s", start=(epoch, 40)) as subscription:
            assert subscription.epoch == second.epoch
            assert taken(subscription, 8) == [(4, 3), (5, 0), (6, 0), (7, 0), (8, 0)]
            # As one that has followed all the time: what came after 40 is not known.
            assert subscription.ended == (EndedEpoch(epoch, 41, 0, 0, 40, False),)
            assert subscription.lost == 3
    assert (
        f"epoch {epoch} ended at update 40: 0 received, 0 lost; what came after it" in caplog.text
    )


def test_a_server_that_comes_later_and_goes(make_server: MakeServer, kind: Kind) -> None:
    first = make_server()
    publish(first, 1, 5)
    address, epoch = address_of(first), first.epoch
    first.stop()
    with kind(address, timeout_s=0.1) as client:
        with client.subscribe("s", start=(epoch, 3)) as subscription:
            assert (subscription.epoch, subscription.ended) == (0, ())
            epochs = []
            for _ in range(2):
                server = make_server(address=address, start=False)
                publish(server, 1, 4)
                server.start()
                assert taken(subscription, 4) == [(n, 0) for n in range(1, 5)]
                epochs.append(server.epoch)
                server.stop()
            wait_until(lambda: has_ended(subscription), "the end is heard")
            assert subscription.ended == (
                EndedEpoch(epoch, 4, 0, 0, 3, False),
                *(EndedEpoch(each, 1, 4, 0, 4, True) for each in epochs),
            )


def has_ended(subscription: Any) -> Any:
    """Whether the server has said so, by now; there is no update."""
    with pytest.raises(TimeoutError):
        subscription.next(0.01)
    return subscription.server_ended


def test_a_number_that_was_never_published_in_that_life_is_refused(
    server: ServerLHC, client: Any
) -> None:
    publish(server, 1, 3)
    wanted = rf"not \({server.epoch}, 4\): the last of 's' in this epoch is number 3"
    with pytest.raises(RemoteError, match=wanted):
        client.subscribe("s", start=(server.epoch, 4))
    with pytest.raises(RemoteError, match="a number from 1 to 4, not 5"):
        client.subscribe("s", start=5)


def test_a_number_of_whichever_life_stays_one(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 9)
    with client.subscribe("s", start=np.int64(4)) as subscription:
        assert taken(subscription, 9) == [(n, 0) for n in range(4, 10)]


# ---- names


def test_subscribers_have_names(server: ServerLHC, kind: Kind) -> None:
    def names() -> list[Any]:
        return sorted(seen.who for seen in server.stats().subscribers)

    with kind(address_of(server), name="recorder", timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as one, client.subscribe("s", name="recorder, é€") as other:
            assert names() == ["recorder", "recorder, é€"]
            assert (one.name, other.name) == ("recorder", "recorder, é€")
            assert client.name == "recorder"


def test_a_name_stays_through_a_restart(make_server: MakeServer, kind: Kind) -> None:
    server = make_server()
    publish(server, 1, 2)
    address = address_of(server)
    with kind(address, timeout_s=PATIENCE_S) as client:
        with client.subscribe("s", start=1, name="display") as subscription:
            assert numbers(subscription, 2) == [1, 2]
            server.stop()
            with serving(address=address) as again:
                publish(again, 1, 1)
                assert subscription.next(PATIENCE_S).seq == 1
                (seen,) = again.stats().subscribers
                assert seen.who == "display"
