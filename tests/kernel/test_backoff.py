"""The pauses between attempts."""

from pangaea.backoff import Backoff

BACKOFF = Backoff(first=0.2, longest=5.0)


class TestBackoff:
    def test_doubles_up_to_its_limit(self) -> None:
        assert [BACKOFF.steady(failures) for failures in (1, 2, 3, 4, 5, 6, 7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    def test_takes_any_number_of_failures(self) -> None:
        assert BACKOFF.steady(10**9) == 5.0

    def test_spreads_over_half_of_the_pause(self) -> None:
        pauses = {BACKOFF.jittered(3) for _ in range(100)}
        assert len(pauses) > 1
        assert all(0.4 <= pause <= 0.8 for pause in pauses)
