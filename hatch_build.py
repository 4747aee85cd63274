"""The page that a package index shows: README.md without what an index cannot show."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parent


class IndexPage(MetadataHookInterface):
    """Puts the picture into the text, as characters, and leaves out links within the repository."""

    def update(self, metadata: dict) -> None:
        """Called while a wheel is built."""
        drawn = (ROOT / "docs" / "images" / "accuracy.txt").read_text(encoding="utf-8")
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        text, pictures = re.subn(r"!\[[^]]*\]\([^)]*\)", lambda _: f"```\n{drawn}```", text)
        if pictures != 1:
            raise ValueError(f"README.md has {pictures} pictures; one is drawn in accuracy.txt")
        text = re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
