import pytest

from pangaea.telemetry import components
from pangaea.telemetry.components import Component, State


class TestAComponent:
    def test_returns_the_time_in_the_former_state_on_a_change_only(self) -> None:
        component = Component("orders")
        assert component.report(State.LEADING) is not None
        assert component.report(State.LEADING) is None

    def test_shows_its_state_and_reason(self) -> None:
        component = Component("users")
        component.report(State.INTERRUPTED, "no broker")
        shown = component.as_dict()
        assert (shown["state"], shown["reason"]) == ("interrupted", "no broker")
        assert not component.state.is_ready

    def test_that_does_not_report_is_not_shown_as_leading(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(components, "LEAD_TIMEOUT", 0.0)
        component = Component("orders")
        component.report(State.LEADING)
        assert component.state is State.INTERRUPTED
        assert "no pass has ended" in component.as_dict()["reason"]

    def test_that_does_not_report_is_not_alive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        component = Component("orders")
        assert component.is_alive
        monkeypatch.setattr(components, "REPORT_TIMEOUT", 0.0)
        assert not component.is_alive
