"""The guides say what the code does: quoted lines, commands, links, pictures, examples."""

import doctest
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

from nn_perception.cli.main import parse
from nn_perception.config import parse_overrides
from nn_perception.studies import STUDIES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "lectures").glob("[0-9]*.md"))
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("lectures/*.md")])


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


update_docs = load(ROOT / "tools" / "update_docs.py")


def text(page):
    return page.read_text(encoding="utf-8")


def commands(page):
    """Return the commands of indented blocks, tables and results."""
    lines = re.findall(r"^    (nn-perception .*)$", text(page), re.MULTILINE)
    return lines + re.findall(r"`(nn-perception [^`]*[a-z][^`]*)`", text(page))


GUIDE_COMMANDS = sorted({command for page in GUIDES for command in commands(page)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_stands_between_marks_is_what_the_tool_puts_there(page):
    assert update_docs.filled(text(page), page) == text(page), "run: python tools/update_docs.py"


def test_every_study_of_a_guide_was_measured_in_its_default_size():
    missing = []
    for page in PAGES:
        update_docs.filled(text(page), page, missing.append)
    assert not missing


def test_every_study_has_a_guide():
    told = {name for page in GUIDES for name in re.findall(r"<!-- study (\S+) -->", text(page))}
    assert told == {*STUDIES, *update_docs.COMMANDS}


def test_guides_are_in_the_navigation_and_on_the_first_page_in_order():
    stems = [page.stem for page in GUIDES]
    assert [int(stem[:2]) for stem in stems] == [*range(1, 14)]
    assert re.findall(r"^lectures/(\d\d-\S+)$", text(DOCS / "index.md"), re.MULTILINE) == stems
    index = text(DOCS / "lectures" / "index.md")
    assert re.findall(r"\((\d\d-\S+)\.md\)", index) == stems
    titles = [re.search(r"^# (.*)$", text(page), re.MULTILINE).group(1) for page in GUIDES]
    assert [f"[{title}]" in index for title in titles] == [True] * 13


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_has_all_of_its_parts(page):
    content = text(page)
    assert "```math" in content or page.stem.startswith("13")
    assert "<!-- code " in content
    assert commands(page)
    assert "**Look at**" in content
    assert "\n## Read on\n" in content


@pytest.mark.parametrize("command", GUIDE_COMMANDS)
def test_commands_are_accepted(command):
    arguments = parse(shlex.split(command, comments=True)[1:])
    assert arguments.run
    for word in shlex.split(command):
        if word.startswith(("models/", "config/")):
            assert (ROOT / word).exists(), word
    if arguments.command == "train":
        pytest.importorskip("torch")
        from nn_perception.config import from_mapping
        from nn_perception.networks import build_network
        from nn_perception.tasks import get_task
        from nn_perception.training.run import resolve_config

        overrides = parse_overrides(arguments.overrides)
        config = resolve_config(arguments.task, {}, overrides, arguments.recipe)
        from_mapping(get_task(arguments.task).load_learning().arguments_type, config.task_arguments)
        build_network(config.network, config.network_arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_keys_and_values_exist(page):
    pytest.importorskip("torch")
    from nn_perception.training.run import resolve_config

    for found in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)?=[^`\s]+)`", text(page)):
        resolve_config("digits", {}, parse_overrides([found]), "mlp")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text(page)):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_examples_give_what_they_show(page):
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)
    if any("torch" in block for block in blocks):
        pytest.importorskip("torch")
    source = "\n".join(blocks)
    test = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    told = []
    doctest.DocTestRunner(verbose=False).run(test, out=told.append)
    assert not told, "".join(told)


def test_inline_formulas_survive_a_code_host():
    # Code hosts read Markdown first: in $...$, not in ```math, a backslash before punctuation goes.
    for page in GUIDES:
        prose = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
        prose = re.sub(r"`[^`]*`", "", prose)
        for formula in re.findall(r"\$([^$]+)\$", prose):
            assert not re.search(r"\\[^a-zA-Z]", formula), f"{page.name}: {formula}"
            assert formula == formula.strip(), f"{page.name}: {formula}"
        assert prose.count("$") % 2 == 0, page.name


class TestMarks:
    SOURCE = (
        'X = 1\n\nclass A:\n    """About."""\n\n    def f(self):\n        """Say.\n\n'
        '        More.\n        """\n        a = 1\n        b = 2\n        return a + b\n'
    )

    @pytest.fixture
    def up(self, tmp_path, monkeypatch):
        monkeypatch.setattr(update_docs, "ROOT", tmp_path)
        (tmp_path / "code.py").write_text(self.SOURCE)
        return Path("..")

    def test_a_symbol_comes_without_its_docstring(self, up):
        code = "```python\ndef f(self):\n    a = 1\n    b = 2\n    return a + b\n```"
        assert update_docs.quoted("code.py A.f", up) == f"{code}\n[`code.py: A.f`](../code.py)"

    def test_lines_of_it_come_from_first_to_last(self, up):
        quoted = update_docs.quoted('code.py A.f "a = 1" .. "b ="', up)
        assert quoted.startswith("```python\na = 1\nb = 2\n```\n")

    @pytest.mark.parametrize(
        "what",
        [
            "none.py",
            "code.py B",
            "code.py A.g",
            'code.py A.f "c" .. "b"',
            'code.py A.f "b =" .. "a ="',
        ],
    )
    def test_what_is_not_there_is_an_error(self, up, what):
        with pytest.raises(update_docs.StaleError):
            update_docs.quoted(what, up)

    def test_a_changed_source_makes_a_page_stale(self, up, tmp_path):
        page = tmp_path / "docs" / "page.md"
        begin, end = "<!-- code code.py X -->", "<!-- /code -->"
        made = update_docs.filled(f"{begin}\nold\n{end}\n", page)
        assert made == f"{begin}\n```python\nX = 1\n```\n[`code.py: X`](../code.py)\n{end}\n"
        assert update_docs.filled(made, page) == made
        (tmp_path / "code.py").write_text("X = 2\n")
        assert update_docs.filled(made, page) == made.replace("X = 1", "X = 2")


class TestSite:
    """Sphinx's own checks, on a copy: what is wrong in a page ends the build."""

    @pytest.fixture
    def build(self, tmp_path):
        pytest.importorskip("myst_parser")
        application = pytest.importorskip("sphinx.application")
        shutil.copytree(DOCS / "site", tmp_path / "docs" / "site")
        (tmp_path / "nn_perception").mkdir()
        shutil.copy(ROOT / "nn_perception" / "__init__.py", tmp_path / "nn_perception")
        shutil.copy(DOCS / "conf.py", tmp_path / "docs")
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
            (tmp_path / name).write_text(f"# {name}\n\n## Results\n\nmany\n\n## More\n\nmore\n")

        def run(page):
            docs = tmp_path / "docs"
            (docs / "index.md").write_text("<!-- file -->\n\n```{toctree}\npage\nresults\n```\n")
            (docs / "page.md").write_text(page)
            (docs / "results.md").write_text("<!-- file -->\n")
            warnings = __import__("io").StringIO()
            out = tmp_path / "out"
            app = application.Sphinx(
                docs, docs, out, tmp_path / "doctrees", "html",
                status=None, warning=warnings, freshenv=True, confoverrides={"html_theme": "basic"},
            )  # fmt: skip
            app.build()
            return (out / "page.html").read_text(), warnings.getvalue()

        return run

    def test_formulas_become_mathml_without_script_or_network(self, build):
        html, warnings = build("# P\n\nA $x^2$ and\n\n```math\n\\frac{a}{b}\n```\n")
        assert not warnings
        assert html.count("<math ") == 2
        assert "<mfrac>" in html
        assert not re.search(r'<(script|link|img)[^>]*="(https?:)?//', html)

    def test_an_index_stands_beside_an_accented_letter(self):
        pytest.importorskip("docutils")
        to_mathml = load(DOCS / "site" / "mathml.py").to_mathml
        made = re.sub(r"\s+(?=<)", "", to_mathml(r"\ln \hat y_k", block=False))
        assert "<msub><mover accent=" in made
        assert made.index("<mspace") < made.index("<msub>")
        assert made.endswith("</mover><mi>k</mi></msub></math>")
        assert "munderover" in to_mathml(r"\sum_{i=1}^k x", block=True)
        assert "mspace" not in to_mathml(r"\ln (1 - x)", block=False)

    @pytest.mark.parametrize(
        "page",
        [
            "# P\n\n[x](none.md)\n",
            "# P\n\n[x](index.md#nowhere)\n",
            "# P\n\n[x](#nowhere)\n",
            "# P\n\n![x](none.png)\n",
            "# P\n\n```math\n\\nosuchthing{a}\n```\n",
            "# P\n\n```{toctree}\nnone\n```\n",
        ],
        ids=["page", "anchor", "own anchor", "picture", "formula", "navigation"],
    )
    def test_what_is_wrong_is_a_warning(self, build, page):
        assert build(page)[1]
