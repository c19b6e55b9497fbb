"""Links of the pages, names of the API reference, rules of the gallery."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import sklearn_sparsenet
import sklearn_sparsenet.plots

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "migration").glob("*.md")),
]
GALLERY = sorted((ROOT / "examples" / "gallery").glob("*.py"))

CODE = re.compile(r"^(```+|:::+).*?^\1\s*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
# Pages that Sphinx writes.
GENERATED = {"gallery/index"}


def relative(path):
    return str(path.relative_to(ROOT))


def prose(page):
    """Return a page without its code."""
    return CODE.sub("", page.read_text())


def anchors(page):
    """Return the anchors that GitHub gives to the headings of a page."""
    blocks = re.compile(r"^(```+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
    found = set()
    for heading in HEADING.findall(blocks.sub("", page.read_text())):
        kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(kept.replace(" ", "-"))
    return found


def broken(page):
    """Return the relative links of a page that lead nowhere."""
    lost = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            lost.append(link)
        elif anchor and anchor not in anchors(target):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_and_anchors_exist(page):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A b, `c`\n[x](none.md) [y](#a-b-c) [z](#d) [w](https://a.b)\n")
    assert broken(page) == ["none.md", "#d"]


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text()
    trees = re.findall(r"^```\{toctree\}(.*?)^```", index, re.MULTILINE | re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines()]
    listed = {line for line in lines if line and not line.startswith(":")}
    pages = {
        page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for page in PAGES[1:]
        if page.name != "index.md"
    }
    assert listed == pages | GENERATED


def documented():
    """Return the qualified names that the API reference lists."""
    names, module = set(), ""
    for line in (ROOT / "docs" / "api.md").read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif re.fullmatch(r"   [A-Za-z_]\w*", line):
            names.add(f"{module}.{line.strip()}")
    return names


def test_every_public_name_is_in_the_api_reference():
    modules = [
        sklearn_sparsenet, sklearn_sparsenet.losses, sklearn_sparsenet.optimality,
        sklearn_sparsenet.plots,
    ]  # fmt: skip
    public = {
        f"{module.__name__}.{name}"
        for module in modules
        for name in module.__all__
        if not name.startswith("__")
    }
    public -= {module.__name__ for module in modules}
    assert public <= documented()


def described(documentation, section="Parameters"):
    """Return what a section of a docstring says of each name."""
    pattern = rf"^{section}\n-+\n(.+?)(?:\n\n|\Z)"
    found = re.search(pattern, documentation, re.MULTILINE | re.DOTALL)
    entries = re.split(r"\n(?=\S)", found[1]) if found else []
    lines = [entry.partition("\n") for entry in entries]
    return {head.partition(" : ")[0].lstrip("*"): text for head, _, text in lines}


def undescribed(thing):
    """Return the parameters that a docstring leaves out, or tells nothing of."""
    documentation = inspect.getdoc(thing)
    texts = described(documentation) or described(documentation, "Attributes")
    names = [name for name in inspect.signature(thing).parameters if name != "self"]
    in_order = [name for name in texts if name in names] == names
    return [name for name in names if not texts.get(name) or not in_order]


def has_parameters(thing):
    own = getattr(thing, "__module__", "").startswith("sklearn_sparsenet")
    return own and "\nParameters\n" in (inspect.getdoc(thing) or "")


@pytest.mark.parametrize("name", sorted(documented()))
def test_every_parameter_is_described(name):
    """One by one, in the order of the signature, here and not on another page."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    is_called = not (inspect.isclass(thing) and issubclass(thing, Exception))
    if is_called and not getattr(thing, "_is_protocol", False):
        assert undescribed(thing) == []
    members = inspect.getmembers(thing) if inspect.isclass(thing) else []
    for member, function in members:
        if (
            inspect.isroutine(function)
            and member[0] != "_"
            and has_parameters(function)
        ):
            assert undescribed(function) == [], member


def test_what_is_not_described_is_found():
    def function(a, b, c):
        """Do.

        Parameters
        ----------
        a : int
            The first.
        b : int
        """

    assert undescribed(function) == ["a", "b", "c"]
    function.__doc__ = function.__doc__.replace("b : int", "b : int\n            B.")
    function.__doc__ += "c : int\n            The last."
    assert undescribed(function) == []


def test_the_gallery_is_large_enough():
    assert len(GALLERY) >= 12


@pytest.mark.parametrize("example", GALLERY, ids=relative)
def test_examples_have_a_title_a_result_and_need_no_network(example):
    text = example.read_text()
    title, underline = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert example.name.startswith("plot_")
    assert underline == "=" * len(title)
    assert "# %%" in text
    assert "plt.show()" in text or "pd.DataFrame" in text
    assert not re.search(r"\bfetch_|urllib|requests|\bhttps?://", text)
