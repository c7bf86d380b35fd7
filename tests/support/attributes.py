"""What a server of 0.2.0 has."""

from __future__ import annotations

from typing import Any

# What a server of 0.2.0 has beside what every thread has.
OF_0_2_0 = {
    *("address", "address_for_client", "capabilities", "context", "data", "device", "emit"),
    *("empty_data", "empty_data_after_get", "freedom", "name_list", "on_get", "on_opt"),
    *("on_position_changed", "on_saving_path_changed", "on_scan", "on_set_actuators"),
    *("on_set_diagnostics", "on_update_actuator_positions", "plottables_list", "running"),
    *("server_ip", "server_port", "set_data", "set_name_list", "set_on_get", "set_on_opt"),
    *("set_on_position_changed", "set_on_saving_path_changed", "set_on_scan"),
    *("set_on_set_actuators", "set_on_set_diagnostics", "set_on_update_actuator_positions"),
    *("socket", "stop", "time_poll_ms", "time_sleep_ms"),
    *("_address", "_data", "_data_lock", "_handlers", "_running", "_server_ip"),
}


def not_for_the_server(*arguments: Any, **named: Any) -> None:
    raise AssertionError("called by the server")
