"""The rules of `rules.py` on the real tree, and on snippets that break them: a rule that cannot fail guards nothing."""

import inspect

import pytest

from tests.architecture import rules
from tests.architecture.rules import KERNEL_RULES, MODULE_RULES, Rule
from tests.architecture.sources import Source, labels, sources

LABELS = frozenset({"orders", "users"})

BROKEN: list[tuple[Rule, str]] = [
    (rules.names_no_other_module, "from modules.users import models"),
    (rules.names_no_other_module, "x = 'modules.users.models.Account'"),
    (rules.names_no_other_module, "# see modules.users"),
    (rules.names_no_other_module, "x = f'modules.{label}.models'"),
    (rules.looks_up_no_other_app, "apps.get_model('users', 'Account')"),
    (rules.looks_up_no_other_app, "apps.get_model('users.Account')"),
    (rules.looks_up_no_other_app, "apps.get_model(app_label='users', model_name='Account')"),
    (rules.looks_up_no_other_app, "django_apps.get_model(label, 'Account')"),
    (rules.looks_up_no_other_app, "apps.get_app_config('users')"),
    (rules.looks_up_no_other_app, "import_string('modules.users.models.Account')"),
    (rules.looks_up_no_other_app, "importlib.import_module('modules.' + label)"),
    (rules.looks_up_no_other_app, "get_user_model().objects.count()"),
    (rules.relates_to_no_other_app, "models.ForeignKey('users.Account', on_delete=models.CASCADE)"),
    (rules.relates_to_no_other_app, "models.OneToOneField(to='users.Account', on_delete=models.CASCADE)"),
    (rules.relates_to_no_other_app, "models.ManyToManyField('Line', through='users.Account')"),
    (rules.relates_to_no_other_app, "models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)"),
    (rules.relates_to_no_other_app, "class Migration:\n    dependencies = [('users', '0001_initial')]"),
    (rules.relates_to_no_other_app, "d = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"),
    (rules.writes_no_foreign_sql, "cursor.execute('SELECT 1 FROM users.account')"),
    (rules.writes_no_foreign_sql, "cursor.execute('select 1 from users_account')"),
    (rules.writes_no_foreign_sql, 'cursor.execute(\'UPDATE "users"."account" SET x = 1\')'),
    (rules.writes_no_foreign_sql, "cursor.execute(f'DELETE FROM users.{table}')"),
    (rules.writes_no_foreign_sql, "cursor.execute('TRUNCATE pangaea_outbox')"),
    (rules.writes_no_foreign_sql, "cursor.execute('SET search_path TO users')"),
    (rules.writes_no_foreign_sql, "cursor.execute('SET LOCAL ROLE users')"),
    (rules.uses_only_its_own_alias, "Order.objects.using('users').count()"),
    (rules.uses_only_its_own_alias, "transaction.atomic(using='default')"),
    (rules.uses_only_its_own_alias, "connections['users'].cursor()"),
    (rules.uses_only_its_own_alias, "from django.db import connection"),
    (rules.uses_only_its_own_alias, "from django import db\ndb.connection.cursor()"),
    (rules.names_the_alias_of_transactions, "from django.db import transaction\nwith transaction.atomic(): pass"),
    (rules.names_the_alias_of_transactions, "from django.db import transaction\n@transaction.atomic\ndef f(): pass"),
    (
        rules.names_the_alias_of_transactions,
        "from django.db import transaction as t\nwith t.atomic(savepoint=False): pass",
    ),
    (rules.names_the_alias_of_transactions, "from django.db.transaction import atomic as a\nwith a(): pass"),
    (rules.names_the_alias_of_transactions, "from django.db.transaction import atomic\nx = method_decorator(atomic)"),
    (rules.names_the_alias_of_transactions, "from django.db import transaction\ntransaction.on_commit(f)"),
    (rules.opens_no_atomic_requests, "DATABASES = {'default': {'ATOMIC_REQUESTS': True}}"),
    (rules.opens_no_atomic_requests, "DATABASES['default']['ATOMIC_REQUESTS'] = True"),
    (rules.opens_no_atomic_requests, "dict(ATOMIC_REQUESTS=True)"),
    (rules.links_by_path, "link = request.build_absolute_uri('/orders')"),
    (rules.links_by_path, "absolute = request.build_absolute_uri"),
    (rules.links_by_path, "from django.contrib.sites.shortcuts import get_current_site"),
    (rules.links_by_path, "class S(serializers.HyperlinkedModelSerializer): pass"),
    (rules.links_by_path, "reverse('order', request=request)"),
    (rules.links_by_path, "host = request.META['HTTP_HOST']"),
    (rules.links_by_path, "host = request.headers.get('Host')"),
    (rules.takes_ids_in_capitals, "path('/<uuid:order_id>', OrderView.as_view())"),
    (rules.keeps_rules_pure, "from django.db import models"),
    (rules.keeps_rules_pure, "from django import db\nimport rest_framework.views"),
    (rules.keeps_rules_pure, "from pangaea import outbox"),
    (rules.names_no_module_in_the_kernel, "x = 'modules.users'"),
    (rules.names_no_foreign_scope, "HasScope('users:read')"),
    (rules.names_no_foreign_scope, "scopes = 'orders:read users:write'.split()"),
]

KEPT: list[tuple[Rule, str]] = [
    (rules.names_no_foreign_scope, "HasScope('orders:read')\nx = 'users:\\n  read'\ny = 'the users: all'"),
    (rules.names_no_other_module, "from modules.orders import models\nx = 'modules.py users.user_registered'"),
    (
        rules.looks_up_no_other_app,
        "apps.get_model('orders', 'Order')\nimport_string('modules.orders.rules.pricing.total')",
    ),
    (
        rules.relates_to_no_other_app,
        "models.ForeignKey('Order')\nmodels.ForeignKey('orders.Order')\nmodels.ForeignKey(Order)",
    ),
    (rules.relates_to_no_other_app, "class Migration:\n    dependencies = [('orders', '0001_initial')]"),
    (rules.writes_no_foreign_sql, "def f():\n    '''Remember who came from users.user_registered.'''"),
    (rules.writes_no_foreign_sql, "cursor.execute('SELECT users FROM orders_order JOIN orders.line ON true')"),
    (
        rules.uses_only_its_own_alias,
        "Order.objects.using('orders')\nconnections['orders']\ntransaction.atomic(using=alias)",
    ),
    (
        rules.names_the_alias_of_transactions,
        "from django.db import transaction\nwith transaction.atomic(using='orders'): pass",
    ),
    (
        rules.names_the_alias_of_transactions,
        "from django.db import transaction\ntry: pass\nexcept transaction.TransactionManagementError: pass",
    ),
    (rules.names_the_alias_of_transactions, "class Migration:\n    atomic = False"),
    (rules.opens_no_atomic_requests, "'''Never ATOMIC_REQUESTS.'''"),
    (rules.links_by_path, "link = reverse('order', args=[order.id])\nhost = request.get_host()"),
    (rules.takes_ids_in_capitals, "path('/<id:order_id>', OrderView.as_view())"),
    (rules.keeps_rules_pure, "from decimal import Decimal\nfrom pangaea import errors"),
    (rules.names_no_module_in_the_kernel, "def f():\n    '''For example modules.users.'''"),
]


def snippet(rule: Rule, text: str) -> Source:
    path = (
        "platform/pangaea/relay.py"
        if rule is rules.names_no_module_in_the_kernel
        else "modules/orders/rules/pricing.py"
    )
    return Source(path=path, text=text, labels=LABELS)


class TestModules:
    @pytest.mark.parametrize("rule", MODULE_RULES, ids=lambda rule: rule.__name__)
    def test_keep_each_rule(self, rule: Rule) -> None:
        assert [violation for source in sources("modules") if source.module for violation in rule(source)] == []

    def test_are_found(self) -> None:
        assert labels()
        assert {source.module for source in sources("modules")} >= labels()


class TestTheKernel:
    @pytest.mark.parametrize("rule", KERNEL_RULES, ids=lambda rule: rule.__name__)
    def test_keeps_each_rule(self, rule: Rule) -> None:
        assert [violation for source in sources("platform") for violation in rule(source)] == []

    def test_and_the_projects_tests_name_their_aliases(self) -> None:
        found = [
            violation for source in sources("tests") for violation in rules.names_the_alias_of_transactions(source)
        ]
        assert found == []


class TestEveryRule:
    @pytest.mark.parametrize(("rule", "text"), BROKEN)
    def test_catches_a_violation(self, rule: Rule, text: str) -> None:
        assert list(rule(snippet(rule, text)))

    @pytest.mark.parametrize(("rule", "text"), KEPT)
    def test_lets_legitimate_code_pass(self, rule: Rule, text: str) -> None:
        assert list(rule(snippet(rule, text))) == []

    def test_is_applied_and_proven_able_to_fail(self) -> None:
        defined = {
            function
            for name, function in inspect.getmembers(rules, inspect.isfunction)
            if function.__module__ == rules.__name__ and not name.startswith("_")
        }
        assert defined == {*MODULE_RULES, *KERNEL_RULES} == {rule for rule, _ in BROKEN}
