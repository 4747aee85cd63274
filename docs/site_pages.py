"""What the documentation site adds to the pages of docs/: a hook of mkdocs and one of griffe.

README.md becomes the front page, the notebooks of examples/ become tutorials, and every public
name gets its docstring on a page of its module.
"""

import base64
import importlib.util
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
# Pages from beside the folder, by their names on the site.
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
SCRIPTS = "examples.md"


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made of something else; called by mkdocs."""
    for source, page in BESIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_from_the_root(text)))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        name = f"tutorials/{path.stem}.md"
        for made, content in _tutorial(path, name):
            files.append(File.generated(config, made, content=content))
    files.append(File.generated(config, SCRIPTS, content=_scripts()))
    for name, content in _reference():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead out of the folder lead to the pages made of what is there."""
    for source, name in BESIDE.items():
        markdown = markdown.replace(f"](../{source})", f"]({name})")
    return markdown


def _from_the_root(text: str) -> str:
    text = text.replace("](docs/README.md)", "](index.md)").replace("](docs/", "](")
    text = text.replace("](examples)", f"]({SCRIPTS})")
    return text.replace("[Apache-2.0](LICENSE)", "Apache-2.0")


def _tutorial(path: Path, name: str):
    """A notebook as a page, and its pictures as files beside it."""
    parts, pictures = [], 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text.replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                pictures += 1
                picture = f"{path.stem}-{pictures}.png"
                yield f"tutorials/{picture}", base64.b64decode(data["image/png"])
                parts.append(f"![What the cell above draws]({picture})")
            elif "text/html" in data:
                # A blank line would end the HTML.
                parts.append(re.sub(r"\n\s*\n", "\n", "".join(data["text/html"])))
            else:
                shown = "".join(output.get("text") or data["text/plain"])
                parts.append(f"```text\n{shown}\n```")
    yield name, "\n\n".join(parts) + "\n"


def _scripts() -> str:
    """The scripts of examples/ on one page."""
    parts = ["# Scripts"]
    for path in sorted((ROOT / "examples").glob("*.py")):
        parts += [f"## {path.name}", f"```python\n{path.read_text(encoding='utf-8')}```"]
    return "\n\n".join(parts) + "\n"


def _reference():
    """A page for each public module, with each public name."""
    sys.path.insert(0, str(ROOT))
    import jaxinv

    for module, names in _generate().groups("jaxinv", jaxinv).items():
        parts = [f"# {module}"]
        for name, value in names.items():
            if callable(value):
                place = f"{value.__module__}.{value.__qualname__}"
                heading = f"    options:\n      heading: {module}.{name}\n      toc_label: {name}"
                parts.append(f"::: {place}\n{heading}")
            elif isinstance(value, tuple):
                parts.append(f"## {module}.{name}\n\n{', '.join(f'`{one}`' for one in value)}")
        yield f"reference/{module}.md", "\n\n".join(parts) + "\n"


def _generate() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class AsWritten(griffe.Extension):
    """Docstrings as this package writes them, in the form that griffe reads."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each object."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        # A formula: the directive's own line, or the indented block below it.
        obj.docstring.value = re.sub(
            r"^\.\. math::[ ]*(.*(?:\n(?:[ ]+.*|[ ]*(?=\n[ ]+)))*)",
            lambda found: f"```latex\n{_unindented(found[1])}\n```",
            text,
            flags=re.MULTILINE,
        )


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
