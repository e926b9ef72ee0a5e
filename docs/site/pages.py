"""Hook of MkDocs: the site has the repository's layout, so that each link works there as it does in the repository."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PATTERNS = (
    *(
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/*.md",
        "docs/commands/*.md",
        "docs/images/*.png",
        "docs/site/*.css",
    ),
    *("docs/images/*.jpg", "examples/*.py", "examples/scale/*.*"),
    *("weights/README.md", "weights/*/README.md", "examples/README.md"),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by those of PATTERNS, under their paths in the repository; keep the theme's own."""
    theme = [file for file in files if not (file.abs_src_path or "").startswith(str(ROOT / "docs"))]
    paths = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
    pages = [File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)) for path in paths]
    return Files([*theme, *pages])
