import pytest
from rest_framework.test import APIClient

from modules.users import demo
from modules.users.apps import UsersConfig
from pangaea import testing

pytestmark = pytest.mark.django_db(databases="__all__")


class TestSeed:
    def test_registers_customers_who_can_log_in(self, anybody: APIClient) -> None:
        lines = demo.seed(credentials=True)
        assert [event.wire_name for event in testing.published("users")] == ["users.user_registered"] * 2
        for email, password in UsersConfig.demo_log_ins.items():
            assert any(email in line and password in line for line in lines)
            body = {"email": email, "password": password}
            assert anybody.post("/api/v1/tokens", body, format="json").status_code == 200

    def test_may_run_again(self) -> None:
        assert demo.seed(credentials=True) == demo.seed(credentials=True)
        assert len(testing.published("users")) == 2

    def test_without_credentials_opens_no_account(self) -> None:
        assert demo.seed(credentials=False) == []
        assert testing.published("users") == []
