from modules.orders.rules import lifecycle
from modules.orders.rules.lifecycle import Status


class TestLifecycle:
    def test_names_the_transitions_of_every_state(self) -> None:
        assert set(lifecycle.TRANSITIONS) == set(Status)

    def test_begins_in_a_state_that_nothing_leads_back_to(self) -> None:
        assert lifecycle.sources(lifecycle.INITIAL) == frozenset()

    def test_reaches_every_state(self) -> None:
        reached = {lifecycle.INITIAL}
        while more := set().union(*(lifecycle.TRANSITIONS[state] for state in reached)) - reached:
            reached |= more
        assert reached == set(Status)

    def test_lets_a_placed_order_be_cancelled(self) -> None:
        assert lifecycle.may_become(Status.PLACED, Status.CANCELLED)

    def test_never_lets_a_cancelled_order_become_anything(self) -> None:
        assert not any(lifecycle.may_become(Status.CANCELLED, target) for target in Status)

    def test_gives_the_sources_of_a_state(self) -> None:
        assert lifecycle.sources(Status.CANCELLED) == {Status.PLACED}
