"""Runs the notebooks of examples/ in this process and writes what their cells show into them.

python docs/notebooks.py                  # all of them; the tests run them too
"""

import ast
import base64
import contextlib
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import matplotlib

FOLDER = Path(__file__).resolve().parent.parent / "examples"
DPI = 75


def run(path: Path) -> tuple[dict[str, Any], types.ModuleType]:
    """Executes the code cells of a notebook, one after the other.

    Returns:
      The notebook with the outputs of this run, and the module in which its names are.
    """
    matplotlib.use("agg")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    module = types.ModuleType(path.stem)
    sys.modules[module.__name__] = module
    try:
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(code, 1):
            cell["execution_count"] = number
            cell["outputs"] = list(_execute("".join(cell["source"]), module, number))
    finally:
        del sys.modules[module.__name__]
    return notebook, module


def _execute(source: str, module: types.ModuleType, number: int):
    """Runs a cell; yields what it prints, the value of its last line, and the figures it drew."""
    from matplotlib import pyplot

    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    shown, value, name = io.StringIO(), None, f"In[{number}]"
    with contextlib.redirect_stdout(shown):
        exec(compile(tree, name, "exec"), vars(module))
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), vars(module))
    if text := shown.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        yield _output("execute_result", data) | {"execution_count": number}
    for figure in map(pyplot.figure, pyplot.get_fignums()):
        picture = io.BytesIO()
        figure.savefig(picture, dpi=DPI, metadata={"Software": None})
        yield _output("display_data", {"image/png": base64.b64encode(picture.getvalue()).decode()})
    pyplot.close("all")


def _output(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": kind, "data": data, "metadata": {}}


def main() -> None:
    """Runs every notebook and writes its outputs."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook, _ = run(path)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
