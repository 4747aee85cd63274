"""README.md and docs/ say what is there: commands, links, headings."""

import dataclasses
import doctest
import importlib.util
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import jaxinv
from jaxinv.report.cli import Arguments
from jaxinv.training import TrainConfig
from jaxinv.training import cli as training_cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def generate():
    """The program that writes the generated parts of the documentation."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_setup_section_holds_exactly_the_two_commands():
    section = (ROOT / "README.md").read_text().split("## Set-up")[1].split("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert block.splitlines() == [
        "python -m pip install . && python evaluate.py",
        "python -m pip install '.[test]' && python -m pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_local_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_extras_named_in_the_readme_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"'\.\[([\w,-]+)\]'", (ROOT / "README.md").read_text())
    extras = {extra for group in named for extra in group.split(",")}
    assert extras <= set(project["optional-dependencies"])


def test_examples_of_the_readme_run():
    failed, tried = doctest.testfile(
        str(ROOT / "README.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert tried >= 10
    assert failed == 0


def test_the_table_is_that_of_the_run_whose_files_stand_beside_it(generate):
    files = (ROOT / "docs" / "images" / name for name in ("networks.csv", "seeds.csv"))
    table = generate.study_table(*map(generate.read_rows, files))
    assert f"<!-- study -->\n{table}<!-- end of study -->" in (ROOT / "README.md").read_text()


def test_a_map_of_accuracies_is_drawn_in_characters(generate):
    accuracy = np.zeros((4, 4))  # Four shifts each way, the unshifted image in the middle.
    accuracy[:2, 1], accuracy[2, 2], accuracy[2:, 3] = 0.3, 1, 1
    maps = {"one": accuracy, "two": accuracy[:, ::-1]}
    drawn = generate.drawn_maps({name: np.fft.ifftshift(shown) for name, shown in maps.items()})
    assert drawn.splitlines()[:3] == ["one    two", " ░       ░", "  ▒█   █▒"]
    assert "░ from 20%, ▒ from 40%, ▓ from 60%, █ from 80%" in drawn


def test_the_list_of_public_names_is_up_to_date(generate):
    assert (ROOT / "docs" / "api.md").read_text() == generate.api()


def test_commands_of_the_readme_name_options_that_exist():
    readme = (ROOT / "README.md").read_text()
    blocks = "".join(re.findall(r"```bash\n(.*?)```", readme, re.DOTALL))
    for program, arguments in (("train.py", training_cli.Arguments), ("evaluate.py", Arguments)):
        lines = [line for line in blocks.splitlines() if f"python {program}" in line]
        assert lines
        fields = {field.name for field in dataclasses.fields(arguments)}
        if program == "train.py":
            fields |= {field.name for field in dataclasses.fields(TrainConfig)}
        named = {option for line in lines for option in re.findall(r"--([\w-]+)", line)}
        assert {option.replace("-", "_") for option in named} <= fields


def test_what_stands_behind_an_option_is_its_default():
    pages = "".join(page.read_text() for page in PAGES)
    stated = re.findall(r"`--([\w-]+)` \(`?(\d\w*)`?\)", pages)
    assert stated
    for name, value in stated:
        kinds = (Arguments, TrainConfig)
        fields = [getattr(kind, name.replace("-", "_"), None) for kind in kinds]
        assert value in map(str, fields), f"--{name} {value}"


def test_a_part_without_markers_is_an_error(generate):
    with pytest.raises(ValueError, match="has no part study"):
        generate.replaced("# A readme", "study", "")


def test_the_site_has_every_page_and_every_notebook():
    named = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text().split("nav:")[1]))
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"}
    tutorials = {f"tutorials/{path.stem}.md" for path in (ROOT / "examples").glob("*.ipynb")}
    modules = re.findall(
        r"^## (jaxinv[\w.]*)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE
    )
    reference = {f"reference/{module}.md" for module in modules}
    made = {"index.md", "changelog.md", "contributing.md", "examples.md"}
    assert named == pages | tutorials | reference | made


def test_the_citation_names_the_version():
    stated = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert stated[1] == jaxinv.__version__
