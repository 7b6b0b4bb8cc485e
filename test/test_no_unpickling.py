"""Nothing in the package runs what it reads: its source is walked for every way to do so."""

import ast
from pathlib import Path

import pytest

import nn_perception

ROOT = Path(nn_perception.__file__).parent.parent
FILES = sorted(
    path
    for folder in ("nn_perception", "launch", "tools")
    for path in (ROOT / folder).rglob("*.py")
)

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
MODULES |= {"jsonpickle", "pandas", "imp", "code", "codeop", "runpy"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
ATTRIBUTES = {
    "torch": {"load", "jit.load", "hub.load", "package.PackageImporter", "export.load"},
    "yaml": {"load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader"},
    "os": {"system", "popen"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "onnx": {"load_external_data_for_model"},
}
# A module's name that is no literal; each of these takes it from a table in the source, but for
# those that are named.
IMPORTS = {
    "nn_perception/bench/__init__.py": "BENCHMARKS",
    "nn_perception/bundle_signature.py": "cryptography's own modules",
    "nn_perception/cli/main.py": "COMMANDS",
    "nn_perception/evaluation/imu_baselines.py": "names of baselines in the source",
    "nn_perception/nodes/launching.py": "an executable of the registry",
    "nn_perception/nodes/registry.py": "PERCEPTION_NODES",
    "nn_perception/networks/__init__.py": "registered by Python code, by register_network",
    "nn_perception/studies/__init__.py": "STUDIES",
    "tools/sros2_policy.py": "TABLES",
    "tools/update_readme.py": "TABLES",
    "nn_perception/tasks/__init__.py": "a Task, which an installed package's entry point gave",
}
RUNNERS = {"run", "Popen", "call", "check_call", "check_output"}


def dotted(node):
    """Return ``a.b.c`` of an expression, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def keyword(call, name):
    found = [item.value for item in call.keywords if item.arg == name]
    return found[0] if found else None


def is_literal(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def of_module(name, aliases):
    """Return (module, rest) of a dotted name, import aliases resolved."""
    first, _, rest = name.partition(".")
    full = ".".join(filter(None, (aliases.get(first, first), rest)))
    module, _, rest = full.partition(".")
    return module, rest


def findings(source, file="x.py"):
    """Return what is wrong in a source, as (line, what)."""
    tree = ast.parse(source)
    aliases, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                aliases[item.asname or item.name.split(".")[0]] = (
                    item.name if item.asname else item.name.split(".")[0]
                )
                if item.name.split(".")[0] in MODULES:
                    found.append((node.lineno, item.name))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for item in node.names:
                aliases[item.asname or item.name] = f"{node.module}.{item.name}"
            if node.module.split(".")[0] in MODULES:
                found.append((node.lineno, node.module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in wrong_call(node, aliases, file)]
        elif isinstance(node, (ast.Attribute, ast.Name)):  # passed on, not called
            module, rest = of_module(dotted(node), aliases)
            if rest in ATTRIBUTES.get(module, ()):
                found.append((node.lineno, f"{module}.{rest}"))
    return found


def wrong_call(call, aliases, file):
    name = dotted(call.func)
    module, rest = of_module(name, aliases)
    if name in CALLS or (module == "builtins" and rest in CALLS):
        yield name
    imports = module == "importlib" and rest == "import_module" and file not in IMPORTS
    if imports and not isinstance(call.args[0], ast.Constant):
        yield "import of a name that is no literal"
    allows = keyword(call, "allow_pickle")
    loads = module == "numpy" and rest == "load"
    if (loads or allows is not None) and not is_literal(allows, False):
        yield "numpy.load without allow_pickle=False"
    if module == "subprocess" and rest in RUNNERS:
        shell = keyword(call, "shell")
        if shell is not None and not is_literal(shell, False):
            yield "a shell"
        if any(item.arg is None for item in call.keywords):
            yield "keywords of a child process that cannot be read"
    if rest.split(".")[-1] == "create_subprocess_shell":
        yield "a shell"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_runs_nothing_that_it_reads(path):
    assert findings(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))) == []


def test_the_walk_sees_the_package():
    names = {str(path.relative_to(ROOT)) for path in FILES}
    assert len(names) > 200
    assert set(IMPORTS) <= names


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads as harmless",
        "import joblib.externals",
        "import torch\ntorch.load(path, weights_only=True)",
        "import torch as t\nt.load(path)",
        "from torch import load\nload(path)",
        "from torch import jit\njit.load(path)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "from numpy import load\nload(path)",
        "eval(text)",
        "import builtins\nbuiltins.exec(text)",
        "compile(text, '', 'exec')",
        "__import__(name)",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as get\nget(name)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml\nread = yaml.unsafe_load",
        "from yaml import full_load\nfull_load(text)",
        "import subprocess\nsubprocess.run(words, shell=True)",
        "import subprocess\nsubprocess.Popen(words, shell=maybe)",
        "import subprocess as s\ns.run(words, **more)",
        "import os\nos.system(text)",
        "import shelve, marshal",
    ],
)
def test_each_way_would_be_found(source):
    assert findings(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "import re\nre.compile('x')",
        "import subprocess\nsubprocess.run(['git', 'log'], check=True)",
        "import safetensors.torch\nsafetensors.torch.load(data)",
        "import importlib\nimportlib.import_module('vqf')",
        "json.load(file)",
    ],
)
def test_what_is_harmless_is_left_alone(source):
    assert findings(source) == []
