"""Exported folders of small models, each exported once for all tests, in whatever process they run.

That of LABELLED, which most tests read, is stored, since an export takes half a minute. It was written by:

    lookwhere export tests/export/labelled/model --out tests/export/labelled/out --overwrite
"""

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

STORED = Path(__file__).parent / "labelled"


@pytest.fixture(scope="session")
def exported(tmp_path_factory, worker_id):
    """Return a function from a config (and options of the export) to the model's folder and the exported one."""
    from filelock import FileLock

    from lookwhere_cli.checkpoints.folder import save_model
    from lookwhere_cli.checkpoints.resolve import load_model
    from lookwhere_cli.export.write import ExportOptions, export_model
    from tests.models.small import LABELLED, small

    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def export(config, **options):
        if config == LABELLED and not options:
            return STORED / "model", STORED / "out"
        root = shared / f"export-{hashlib.sha256(repr((config, options)).encode()).hexdigest()[:12]}"
        with FileLock(f"{root}.lock"):
            if not (root / "out").is_dir():
                save_model(root / "model", small(config), "# small\n")
                loaded = load_model(str(root / "model"), "cpu")
                export_model(loaded, root / "out", ExportOptions(**options), lambda what: None)
        return root / "model", root / "out"

    return export
