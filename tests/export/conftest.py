"""Exported folders of small models, each exported once for all tests."""

import pytest

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a function from a config (and options of the export) to the model's folder and the exported one."""
    from lookwhere_cli.checkpoints.folder import save_model
    from lookwhere_cli.checkpoints.resolve import load_model
    from lookwhere_cli.export.write import ExportOptions, export_model
    from tests.models.small import small

    made = {}

    def export(config, **options):
        key = (config, *options.items())
        if key not in made:
            root = tmp_path_factory.mktemp("export")
            save_model(root / "model", small(config), "# small\n")
            loaded = load_model(str(root / "model"), "cpu")
            export_model(loaded, root / "out", ExportOptions(**options), lambda what: None)
            made[key] = root / "model", root / "out"
        return made[key]

    return export
