from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.orders.rules import pricing
from modules.orders.rules.pricing import MAX_LINES, MAX_PRICE, MAX_QUANTITY, PricedLine
from pangaea.errors import Invalid
from pangaea.messages import Money

LARGEST_EXACT_IN_JSON = 2**53 - 1


def line(quantity: int, amount: int, currency: str = "EUR") -> PricedLine:
    return PricedLine(sku="ABC-1", name="Thing", quantity=quantity, unit_price=Money(amount, currency))


LINES = st.lists(
    st.builds(line, st.integers(1, MAX_QUANTITY), st.integers(0, MAX_PRICE)), min_size=1, max_size=MAX_LINES
)


class TestTotal:
    @given(LINES)
    def test_is_the_sum_of_the_pieces(self, lines: list[PricedLine]) -> None:
        assert pricing.total(lines).amount == sum(each.quantity * each.unit_price.amount for each in lines)

    @given(LINES, st.randoms())
    def test_does_not_depend_on_the_order_of_the_lines(self, lines: list[PricedLine], random: Random) -> None:
        shuffled = sorted(lines, key=lambda _: random.random())
        assert pricing.total(shuffled) == pricing.total(lines)

    @given(LINES, LINES)
    def test_of_two_parts_adds_up(self, some: list[PricedLine], others: list[PricedLine]) -> None:
        whole = pricing.total([*some, *others]).amount
        assert whole == pricing.total(some).amount + pricing.total(others).amount

    @given(LINES)
    def test_is_exact_in_any_json_client_and_never_negative(self, lines: list[PricedLine]) -> None:
        assert 0 <= pricing.total(lines).amount <= LARGEST_EXACT_IN_JSON

    @given(LINES, st.sampled_from(["EUR", "JPY"]))
    def test_keeps_the_currency_or_refuses_a_second_one(self, lines: list[PricedLine], currency: str) -> None:
        lines = [*lines, line(1, 1, currency)]
        if currency == "EUR":
            assert pricing.total(lines).currency == "EUR"
            return
        with pytest.raises(Invalid, match="mixed_currencies") as refusal:
            pricing.total(lines)
        assert refusal.value.details == {"currencies": ["EUR", "JPY"]}

    def test_of_nothing_is_refused(self) -> None:
        with pytest.raises(Invalid, match="invalid_order"):
            pricing.total([])

    def test_of_the_largest_order_is_exact_in_any_json_client(self) -> None:
        assert pricing.total([line(MAX_QUANTITY, MAX_PRICE)] * MAX_LINES).amount <= LARGEST_EXACT_IN_JSON


class TestCheckQuantities:
    @given(st.dictionaries(st.text(), st.integers(1, MAX_QUANTITY), min_size=1, max_size=MAX_LINES))
    def test_accepts_what_is_in_range(self, quantities: dict[str, int]) -> None:
        pricing.check_quantities(quantities)

    @given(
        st.dictionaries(st.text(), st.integers(1, MAX_QUANTITY), max_size=MAX_LINES - 1),
        st.integers(max_value=0) | st.integers(min_value=MAX_QUANTITY + 1),
    )
    def test_refuses_one_quantity_out_of_range(self, quantities: dict[str, int], quantity: int) -> None:
        with pytest.raises(Invalid, match="invalid_order"):
            pricing.check_quantities({**quantities, "WRONG": quantity})

    @pytest.mark.parametrize("count", [0, MAX_LINES + 1])
    def test_refuses_too_few_and_too_many_lines(self, count: int) -> None:
        with pytest.raises(Invalid, match="invalid_order"):
            pricing.check_quantities({f"SKU-{number}": 1 for number in range(count)})
