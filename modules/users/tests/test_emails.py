import pytest
from django.core.exceptions import ValidationError

from modules.users.rules import emails


class TestNormalised:
    @pytest.mark.parametrize(
        ("raw", "address"),
        [
            (" Ada@Example.COM ", "ada@example.com"),
            ("ada+tag@example.com", "ada+tag@example.com"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
            ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
            ("ada@\uff45xample\u3002com", "ada@example.com"),  # full-width, as an input method writes it
            ("ada@straße.example", "ada@xn--strae-oqa.example"),
            ("ada@xn--strae-oqa.example", "ada@xn--strae-oqa.example"),
            ("ada@strasse.example", "ada@strasse.example"),
            ("ada@φως.example", "ada@xn--3xahj.example"),
            ("ada@ab--cd.example", "ada@ab--cd.example"),
            (r'"ada\ lovelace"@example.com', r'"ada\ lovelace"@example.com'),
            ('"ada"@example.com', "ada@example.com"),
            (r'"a\da.\l"@example.com', "ada.l@example.com"),
            ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
            ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
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
            '""@example.com',
            '"@example.com',
            '"ada"x"@example.com',
            "a" * 65 + "@example.com",
            "ada@xn--zzzzzz.example",
            "ada@xn--a.example",
            "ada@xn--.example",
            "ada@a_b.bücher.example",
            "ada@\u200d.example",
            "ada@☃.example",  # valid in IDNA 2003
        ],
    )
    def test_refuses(self, raw: str) -> None:
        with pytest.raises(ValidationError, match=r"address|ASCII|characters|Remove"):
            emails.normalised(raw)

    @pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\u2060", "\ufeff", "\ufe0f", "\u034f", "\u180b", "\u202e"])
    @pytest.mark.parametrize(
        "raw", ["ada@example.com{}", "ada@exa{}mple.com", "a{}da@example.com", "{}ada@example.com"]
    )
    def test_refuses_what_cannot_be_seen(self, raw: str, hidden: str) -> None:
        with pytest.raises(ValidationError, match=r"Remove|ASCII"):
            emails.normalised(raw.format(hidden))
