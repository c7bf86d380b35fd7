"""What a fleet decides about one device, without sockets and clocks."""

from __future__ import annotations

import pytest

from laplace_server.fleet.device import FIRST_PAUSE_S, LONGEST_PAUSE_S, Device
from laplace_server.fleet.settings import Setting

SAVE = Setting.of("SAVE", "/a")
ON = Setting.of("TOGGLE SAVING", True)
OFF = Setting.of("TOGGLE SAVING", False)
ACTUATORS = Setting.of("SET ACT", ["x"])


def device(*settings: Setting, present: bool = True) -> Device:
    made = Device("tcp://127.0.0.1:5555", 0.0, {each.cmd: each for each in settings})
    if present:
        made.join(1.0, 0.001, {"name": "stage"})
    return made


def told_in_turn(of: Device, now: float = 0.0) -> list[str]:
    cmds = []
    while (telling := of.next_telling(now)[0]) is not None:
        cmds.append(telling.setting.cmd)
        telling.succeed()
    return cmds


def test_nothing_is_told_to_who_is_not_there() -> None:
    absent = device(SAVE, present=False)
    assert absent.next_telling(0.0) == (None, None)
    assert absent.state.missing == "it has not answered yet"


def test_settings_are_told_in_the_order_they_were_set() -> None:
    one = device(ACTUATORS, OFF, SAVE)
    assert told_in_turn(one) == ["SET ACT", "TOGGLE SAVING", "SAVE"]
    assert one.state.missing is None


def test_saving_begins_last() -> None:
    assert told_in_turn(device(ON, SAVE, ACTUATORS)) == ["SAVE", "SET ACT", "TOGGLE SAVING"]


def test_saving_does_not_begin_before_it_is_known_where() -> None:
    one = device(ON, SAVE, ACTUATORS)
    save, _ = one.next_telling(0.0)
    assert save is not None
    assert save.fail(0.0, "no such disk", final=False)
    assert told_in_turn(one) == ["SET ACT"]
    assert one.next_telling(0.5) == (None, FIRST_PAUSE_S)
    assert one.state.missing == "SAVE: no such disk"
    assert told_in_turn(one, FIRST_PAUSE_S) == ["SAVE", "TOGGLE SAVING"]


def test_whoever_comes_back_is_told_all_again() -> None:
    one = device(SAVE, ON)
    told_in_turn(one)
    assert one.lose(2.0, "gone")
    assert not one.lose(3.0, "still gone")
    assert (one.state.since, one.state.reason) == (2.0, "still gone")
    assert one.next_telling(0.0) == (None, None)
    one.join(4.0, 0.001, None)
    assert one.state.joined == 2
    assert one.state.info == {"name": "stage"}  # as it was
    assert told_in_turn(one) == ["SAVE", "TOGGLE SAVING"]


def test_a_late_answer_is_nobodys() -> None:
    """The device that has confirmed it is not the one that is there now."""
    one = device(SAVE)
    late, _ = one.next_telling(0.0)
    assert late is not None
    one.lose(2.0, "gone")
    one.join(3.0, 0.001, None)
    late.succeed()
    assert told_in_turn(one) == ["SAVE"]


def test_a_late_answer_does_not_confirm_a_newer_value() -> None:
    one = device(SAVE)
    late, _ = one.next_telling(0.0)
    assert late is not None
    one.set("SAVE", Setting.of("SAVE", "/b"))
    late.succeed()
    assert [(each.value, each.told) for each in one.state.settings] == [("/b", False)]


def test_pauses_between_attempts_grow() -> None:
    one = device(SAVE)
    now, pauses = 0.0, []
    for _ in range(8):
        telling, _ = one.next_telling(now)
        assert telling is not None
        telling.fail(now, "no answer", final=False)
        waits, due = one.next_telling(now)
        assert waits is None
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_what_is_refused_for_good_is_told_when_it_is_set_anew_or_the_device_is_back() -> None:
    one = device(SAVE)
    telling, _ = one.next_telling(0.0)
    assert telling is not None
    telling.fail(0.0, "not permitted", final=True)
    assert one.next_telling(1e9) == (None, None)
    one.lose(1.0, "gone")
    one.join(2.0, 0.001, None)
    assert told_in_turn(one) == ["SAVE"]


def test_only_news_of_trouble_is_told() -> None:
    telling, _ = device(SAVE).next_telling(0.0)
    assert telling is not None
    assert telling.fail(0.0, "a", final=False)
    assert not telling.fail(0.0, "a", final=False)
    assert telling.fail(0.0, "b", final=False)


def test_a_forgotten_setting_is_not_told() -> None:
    one = device(SAVE, ON)
    one.set("SAVE", None)
    assert told_in_turn(one) == ["TOGGLE SAVING"]


def test_a_setting_keeps_the_value_it_was_given() -> None:
    actuators = {"x": [1, 2]}
    setting = Setting.of("SET ACT", actuators)
    actuators["x"].append(3)
    assert setting.value == {"x": [1, 2]}


@pytest.mark.parametrize(
    ("cmd", "value", "error"),
    [("SAVE", 5, TypeError), ("SET ACT", object(), TypeError), ("HOME", [1], TypeError)],
)
def test_what_cannot_be_sent_is_no_setting(cmd: str, value: object, error: type) -> None:
    with pytest.raises(error):
        Setting.of(cmd, value)
