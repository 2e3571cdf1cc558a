"""Rules beyond imports, each a function from a file to its violations."""

import ast
import re
from collections.abc import Callable, Iterator

from tests.architecture.sources import Source, argument, last_name, text

Violation = str
Rule = Callable[[Source], Iterator[Violation]]

RELATIONS = {"ForeignKey", "OneToOneField", "ManyToManyField", "GenericForeignKey", "ForeignObject"}
LOOKUPS = {"get_model", "get_app_config", "get_registered_model"}
DYNAMIC_IMPORTS = {"import_module", "import_string", "__import__"}
ABSOLUTE_LINKS = {"build_absolute_uri", "get_current_site", "get_port", "_current_scheme_host"}
HOST_HEADERS = {"Host", "HTTP_HOST", "HTTP_X_FORWARDED_HOST", "SERVER_NAME", "SERVER_PORT"}
ROLES = {
    "acl",
    "admin",
    "api",
    "apps",
    "commands",
    "demo",
    "handlers",
    "messages",
    "migrations",
    "models",
    "queries",
    "tests",
}


def names_no_other_module(source: Source) -> Iterator[Violation]:
    """No dotted path into another module, not even in a string or a comment, nor one that is composed at run time."""
    for number, line in enumerate(source.text.splitlines(), 1):
        for found in re.findall(r"\bmodules\.(\w+|\{)", line):
            if source.module and (found in source.others or found == "{"):
                yield f"{source.path}:{number} names modules.{found}: use messages instead"


def looks_up_no_other_app(source: Source) -> Iterator[Violation]:
    """`apps.get_model`, `import_string` and similar functions name the module's own models and code, in literals."""
    for call, name in source.calls():
        first = text(argument(call, 0, "app_label"))
        where = f"{source.path}:{call.lineno}"
        if name in LOOKUPS and (first is None or first.split(".")[0] != source.module):
            yield f"{where} {name}() of another app, or of one that is known at run time only"
        if name in DYNAMIC_IMPORTS and not (first or "").startswith(f"modules.{source.module}."):
            yield f"{where} {name}() of another module's code, or of code that is known at run time only"
        # A test may log in an operator.
        if name == "get_user_model" and not source.is_test:
            yield f"{where} get_user_model() is the operators' table: accounts of customers are the users module's own"


def relates_to_no_other_app(source: Source) -> Iterator[Violation]:
    """Relations and the dependencies of migrations stay within the module."""
    for call, name in source.calls():
        if name not in RELATIONS:
            continue
        for target in (argument(call, 0, "to"), argument(call, None, "through")):
            written = text(target)
            if (written and "." in written and written.split(".")[0] != source.module) or (
                target is not None and last_name(target) == "AUTH_USER_MODEL"
            ):
                yield f"{source.path}:{call.lineno} {name} to another app: keep its id"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and [last_name(each) for each in node.targets] == ["dependencies"]:
            for pair in ast.walk(node.value):
                if isinstance(pair, ast.Tuple) and pair.elts and text(pair.elts[0]) not in {source.module, None}:
                    yield f"{source.path}:{pair.lineno} the migration depends on another app"
        if isinstance(node, ast.Call) and last_name(node.func) == "swappable_dependency":
            yield f"{source.path}:{node.lineno} the migration depends on another app"


def writes_no_foreign_sql(source: Source) -> Iterator[Violation]:
    """SQL names no schema or table of another module, nor of the kernel; nor does it leave its schema."""
    foreign = "|".join(sorted(map(re.escape, {*source.others, "pangaea", "ops", "django", "auth", "public"})))
    table = re.compile(
        rf'\b(?:from|join|into|update|table|references|truncate|only|schema)\s+"?(?:{foreign})(?:"|[._]"?[\w{{])',
        re.IGNORECASE,
    )
    escape = re.compile(r"\bsearch_path\b|\bset\s+(?:session\s+|local\s+)?role\b", re.IGNORECASE)
    for line, value in source.strings():
        if table.search(value):
            yield f"{source.path}:{line} SQL names a schema or table of another module or of the kernel"
        if escape.search(value):
            yield f"{source.path}:{line} SQL changes role or search_path: a module stays in its schema"


def uses_only_its_own_alias(source: Source) -> Iterator[Violation]:
    """`using`, `connections[...]` and the bare `connection` reach no alias but the module's own."""
    for node in ast.walk(source.tree):
        aliases: list[str | None] = []
        match node:
            case ast.keyword(arg="using", value=value):
                aliases = [text(value)]
            case ast.Call(func=ast.Attribute(attr="using" | "db_manager"), args=[first, *_]):
                aliases = [text(first)]
            case ast.Subscript(value=value, slice=key) if last_name(value) == "connections":
                aliases = [text(key)]
            case ast.ImportFrom(module="django.db", names=names) if any(each.name == "connection" for each in names):
                aliases = ["default"]
            case ast.Attribute(value=ast.Name(id="db"), attr="connection"):
                aliases = ["default"]
        for alias in aliases:
            if alias not in {None, source.module}:
                yield f"{source.path}:{getattr(node, 'lineno', '?')} reaches the database alias {alias!r}"


def names_the_alias_of_transactions(source: Source) -> Iterator[Violation]:
    """Without `using` every function of `django.db.transaction` acts on `default`: atomic, on_commit and the others."""
    modules, functions = _transaction_names(source.tree)
    named = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call) and _names_using(node)}
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=attr) if module in modules:
                name = attr
            case ast.Name(id=function, ctx=ast.Load()) if function in functions:
                name = functions[function]
            case _:
                continue
        if name[0].islower() and id(node) not in named:
            yield f"{source.path}:{node.lineno} transaction.{name} without using=: it would act on `default`"


def _transaction_names(tree: ast.Module) -> tuple[set[str], dict[str, str]]:
    """What the file calls `django.db.transaction`, and its functions: {as written: name}."""
    modules: set[str] = set()
    functions: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="django.db", names=names):
                modules |= {each.asname or each.name for each in names if each.name == "transaction"}
            case ast.ImportFrom(module="django.db.transaction", names=names):
                functions |= {each.asname or each.name: each.name for each in names}
    return modules, functions


def _names_using(call: ast.Call) -> bool:
    return any(each.arg == "using" for each in call.keywords) or (last_name(call.func) == "atomic" and bool(call.args))


def opens_no_atomic_requests(source: Source) -> Iterator[Violation]:
    """ATOMIC_REQUESTS is not used: a request's transaction belongs to one module and is opened by its view."""
    for line, value in source.strings():
        if value == "ATOMIC_REQUESTS":
            yield f"{source.path}:{line} ATOMIC_REQUESTS"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg == "ATOMIC_REQUESTS":
            yield f"{source.path}:{node.lineno} ATOMIC_REQUESTS"


def links_by_path(source: Source) -> Iterator[Violation]:
    """No link is built from the request's `Host`: its port is not verified, or may be the gateway's."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                made = name in ABSOLUTE_LINKS or name.startswith("Hyperlinked")
            case ast.Call(func=function, keywords=keywords) if last_name(function) == "reverse":
                # REST framework's function returns an absolute URL if it is given a request.
                name, made = "reverse(request=…)", any(each.arg == "request" for each in keywords)
            case _:
                continue
        if made:
            yield f"{source.path}:{getattr(node, 'lineno', '?')} {name}: links are paths"
    for line, value in source.strings():
        if value in HOST_HEADERS:
            yield f"{source.path}:{line} reads {value}: links are paths, and fallback.refuse() verifies the host"


def takes_ids_in_capitals(source: Source) -> Iterator[Violation]:
    """A path's id is `<id:…>`: Django's `<uuid:…>` takes small letters alone, RFC 9562 capitals too."""
    for line, value in source.strings():
        if "<uuid:" in value:
            yield f"{source.path}:{line} <uuid:…> takes no capitals: write <id:…>"


def names_no_foreign_scope(source: Source) -> Iterator[Violation]:
    """A scope is named by the module that declares it alone; the kernel and its helpers for tests name none."""
    scope = re.compile(rf"(?:^|\s)(?:{'|'.join(map(re.escape, sorted(source.others)))}):[a-z_]+(?=\s|$)")
    for line, value in source.strings():
        if found := scope.search(value):
            yield f"{source.path}:{line} names the scope {found[0].strip()} of another module"


def keeps_rules_pure(source: Source) -> Iterator[Violation]:
    """A file of a module without one of the known roles, like all in `rules/`, is pure: no database, HTTP or outbox."""
    role = source.path.split("/")[2].removesuffix(".py")
    if role in ROLES | {"__init__"}:
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names):
                imported = [each.name for each in names]
            case ast.ImportFrom(module=str(module), names=names):
                imported = [module, *(f"{module}.{each.name}" for each in names)]
            case _:
                continue
        for name in imported:
            if re.match(r"(django\.db|django\.http|rest_framework|pangaea\.(outbox|inbox))\b", name):
                yield f"{source.path}:{node.lineno} imports {name}: a file without a role holds pure rules"


def names_no_module_in_the_kernel(source: Source) -> Iterator[Violation]:
    """The kernel's code names no module; its prose may, as an example."""
    for line, value in source.strings():
        if re.search(rf"\bmodules\.({'|'.join(map(re.escape, sorted(source.labels)))})\b", value):
            yield f"{source.path}:{line} the kernel names a module: {value!r}"


MODULE_RULES: list[Rule] = [
    names_no_other_module,
    looks_up_no_other_app,
    relates_to_no_other_app,
    writes_no_foreign_sql,
    uses_only_its_own_alias,
    names_the_alias_of_transactions,
    opens_no_atomic_requests,
    links_by_path,
    keeps_rules_pure,
    names_no_foreign_scope,
    takes_ids_in_capitals,
]
KERNEL_RULES: list[Rule] = [
    names_the_alias_of_transactions,
    opens_no_atomic_requests,
    links_by_path,
    names_no_module_in_the_kernel,
    names_no_foreign_scope,
    takes_ids_in_capitals,
]
