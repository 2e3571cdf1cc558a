import pytest

from modules.users.rules import emails


class TestNormalised:
    @pytest.mark.parametrize(
        ("raw", "address"),
        [
            (" Ada@Example.COM ", "ada@example.com"),
            ("ada+tag@example.com", "ada+tag@example.com"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ],
    )
    def test_gives_one_spelling(self, raw: str, address: str) -> None:
        assert emails.normalised(raw) == address
        assert emails.normalised(address) == address

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "@",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@exa mple.com",
            "ada\n@example.com",
            "ada@example.com\nbcc:all@example.com",
            "\u212aate@example.com",  # the Kelvin sign, which lower() makes a k
            "ada@" + "é" * 70 + ".example",
            "a" * 250 + "@example.com",
            '"\x01"@example.com',
        ],
    )
    def test_refuses(self, raw: str) -> None:
        with pytest.raises(ValueError, match=r"address|ASCII|characters"):
            emails.normalised(raw)
