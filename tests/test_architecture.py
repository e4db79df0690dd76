"""The rules of the folder tree, read off the source: imports, sizes, names."""

import ast
import sys
from pathlib import Path

import pytest

import tauax

ROOT = Path(tauax.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Imports go strictly downward, or sideways inside a layer; the first match counts.
LAYERS = [
    ("tauax.numerics", 0),
    ("tauax._types", 0),
    ("tauax._checks", 0),
    ("tauax._archive", 0),
    ("tauax._compiled", 0),
    ("tauax._replacing", 0),
    ("tauax.clock", 0),
    ("tauax.algebra", 1),
    ("tauax.functions", 1),
    ("tauax.responses", 1),
    ("tauax.drives", 1),
    ("tauax.frequencies", 1),
    ("tauax.noise", 1),
    ("tauax.couplings", 1),
    ("tauax.theory", 1),
    ("tauax.thresholds", 1),
    ("tauax.scales", 1),
    ("tauax.coupling_choice", 2),
    ("tauax.systems", 2),
    ("tauax.networks", 2),
    ("tauax.state", 2),
    ("tauax.selection", 2),
    ("tauax.batch", 3),
    ("tauax.steppers", 3),
    ("tauax.adjoints", 3),
    ("tauax.events", 4),
    ("tauax.readouts", 4),
    ("tauax.hints", 5),
    ("tauax.monitors", 4),
    ("tauax._digest", 5),
    ("tauax._arguments", 5),
    ("tauax.devices", 5),
    ("tauax._scan", 5),
    ("tauax.checkpoint", 5),
    ("tauax.export", 5),
    ("tauax.solution", 5),
    ("tauax._programs", 6),
    ("tauax.memory", 6),
    ("tauax.ensemble", 6),
    ("tauax.adiabatic", 7),
    ("tauax.calibration", 7),
    ("tauax.layer", 7),
    ("tauax.losses", 7),
    ("tauax.learn", 7),
    ("tauax.baselines", 7),
    ("tauax.doctor", 7),
    ("tauax.record", 7),
    ("tauax.bench", 7),
    ("tauax.demo", 7),
    ("tauax.plots", 7),
    ("tauax.runs", 7),
    ("tauax.cli", 8),
    ("tauax.__main__", 9),
]
OWNERS = {
    "xarray": "tauax.export",
    "pandas": "tauax.export",
    "matplotlib": "tauax.plots",
    "optimistix": "tauax.learn.least_squares",
    "scipy": "tauax.bench.rivals",
    "tqdm": "tauax.cli.progress",
}
CORE = {"jax", "numpy", "equinox", "optax", "jaxtyping"}
# Resolved lazily, so that `tauax --help` does not import jax.
WHOLES = ("", *(f"tauax{part}" for part in ("", ".bench", ".cli", ".learn", ".numerics", ".runs")))
LAZY = {"tauax", "tauax.cli", "tauax.cli.bench", "tauax.cli.demo", "tauax.cli.run"}
PRIVATE = ("jax._src", "equinox.internal")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> int:
    return next(
        level for prefix, level in LAYERS if module == prefix or module.startswith(prefix + ".")
    )


def imports(tree: ast.AST):
    """(module, node) of every import; `from tauax import x` counts as tauax.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module == "tauax":
                yield from ((f"tauax.{alias.name}", node) for alias in node.names)
            else:
                yield node.module, node


def inside_function(tree: ast.AST) -> set[ast.AST]:
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {inner for function in functions for inner in ast.walk(function)}


def type_checking_only(tree: ast.AST) -> set[ast.AST]:
    blocks = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")
    ]
    return {inner for block in blocks for inner in ast.walk(block)}


@pytest.fixture(params=MODULES, ids=name_of)
def module(request):
    return name_of(request.param), ast.parse(request.param.read_text())


def test_imports_go_downward(module):
    name, tree = module
    if name == "tauax":
        pytest.skip("the top level names everything, lazily")
    exempt = type_checking_only(tree)
    for target, node in imports(tree):
        if target.startswith("tauax.") and target != "tauax.__version__" and node not in exempt:
            assert layer(target) <= layer(name), f"{name} imports upward: {target}"


def test_siblings_share_only_their_base(module):
    name, tree = module
    folder = name.rpartition(".")[0]
    if folder in WHOLES:
        pytest.skip("not a folder of interchangeable parts")
    for target, _ in imports(tree):
        if target.startswith(folder + "."):
            assert target == f"{folder}.base", f"{name} imports its sibling {target}"


def test_own_modules_are_imported_at_the_top(module):
    name, tree = module
    inner = inside_function(tree)
    for target, node in imports(tree):
        if target.startswith("tauax.") and node in inner:
            assert name in LAZY, f"{name} imports {target} inside a function"


def test_no_cycle():
    edges = {}
    for path in MODULES:
        tree = ast.parse(path.read_text())
        exempt = type_checking_only(tree)
        known = {name_of(p) for p in MODULES}
        targets = {t for t, node in imports(tree) if node not in exempt}
        edges[name_of(path)] = {t for t in targets if t in known and t != "tauax"}
    done: set[str] = set()

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, f"cycle: {' → '.join((*path, node))}"
        if node not in done:
            for target in edges[node]:
                visit(target, (*path, node))
            done.add(node)

    for node in edges:
        visit(node, ())


def test_third_party_imports(module):
    name, tree = module
    for target, _ in imports(tree):
        top = target.split(".")[0]
        assert not target.startswith(PRIVATE), f"{name} imports {target}"
        if top in OWNERS:
            owned = f"{name}.".startswith(f"{OWNERS[top]}.")
            assert owned, f"{name} imports {top}, which belongs to {OWNERS[top]}"
        elif top != "tauax" and top not in sys.stdlib_module_names:
            assert top in CORE, f"{name} imports {top}"


def test_sizes(module):
    name, tree = module
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            start = node.body[0].end_lineno if documented else node.lineno
            assert node.end_lineno - start <= 60, f"{name}.{node.name} is too long"
            if not node.name.startswith("_"):
                assert node.args.kwarg is None, f"**{node.args.kwarg.arg} in {name}.{node.name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_length(path):
    assert path.read_text().count("\n") <= 400


def test_public_names_agree():
    for name in tauax.__all__:
        assert getattr(tauax, name) is not None
    tree = ast.parse((ROOT / "__init__.py").read_text())
    typed = {
        alias.name
        for node in type_checking_only(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } - {"Any"}
    assert typed == set(tauax.__all__)


@pytest.mark.parametrize("name", [n for n in tauax.__all__ if n[0] != "_"])
def test_public_names_are_documented(name):
    assert (getattr(tauax, name).__doc__ or "").strip(), f"{name} has no docstring"
