from uuid import UUID

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse

from pangaea import ids

pytestmark = pytest.mark.urls(__name__)

ID = "01a2232a-bd6d-7cc1-8000-0123456789ab"
SPELLINGS = [ID, ID.upper(), ID.replace("ab", "aB")]
OTHERS = {
    "too short": ID[:-1],
    "too long": f"{ID}0",
    "no hyphens": ID.replace("-", ""),
    "hyphens elsewhere": "01a2-232abd6d-7cc1-8000-0123456789ab",
    "braces": f"{{{ID}}}",
    "a URN": f"urn:uuid:{ID}",
    "other digits": ID.replace("0", "\u0660"),
}


def show(_request: HttpRequest, thing: UUID) -> HttpResponse:
    return HttpResponse(str(thing))


urlpatterns = [path("things/<id:thing>", show, name="thing")]
handler404 = "pangaea.api.fallback.not_found"


class TestAnIdInAPath:
    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_may_have_capitals(self, spelling: str) -> None:
        assert Client().get(f"/things/{spelling}").content.decode() == ID

    @pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
    def test_has_no_other_form(self, other: str) -> None:
        assert Client().get(f"/things/{other}").status_code == 404

    def test_is_written_in_small_letters(self) -> None:
        assert reverse("thing", args=[UUID(ID.upper())]) == f"/things/{ID}"


class TestCanonical:
    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_gives_an_id_in_small_letters(self, spelling: str) -> None:
        assert ids.canonical(spelling) == ID

    @pytest.mark.parametrize("other", ["", "MAP-PANGAEA", *(text.upper() for text in OTHERS.values())])
    def test_leaves_other_text(self, other: str) -> None:
        assert ids.canonical(other) == other
