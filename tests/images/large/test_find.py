from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.large.names import belonging_files, is_remote_raster


def test_slides_and_virtual_rasters_are_found_by_their_names(tmp_path):
    names = ["a.SVS", "b.ndpi", "c.mrxs", "d.scn", "e.vms", "f.vmu", "g.bif", "h.vrt", "i.svslide"]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    assert find_pictures([str(tmp_path)]) == [str(tmp_path / name) for name in names]


def test_the_files_that_belong_to_a_slide_are_no_pictures(tmp_path):
    (tmp_path / "a.mrxs").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("a/Data0001.jpg", "other/b.jpg", "s.vms", "s(1,0).jpg", "s_map2.jpg", "scene.jpg", "t.jpg", "x.tif"):
        (tmp_path / name).touch()
    (tmp_path / "x.tif.ovr").write_bytes(b"II*\0" + bytes(100))
    (tmp_path / "x.tif.msk").write_bytes(b"II*\0" + bytes(100))
    found = [path[len(str(tmp_path)) + 1 :] for path in find_pictures([str(tmp_path)])]
    assert found == ["a.mrxs", "other/b.jpg", "s.vms", "scene.jpg", "t.jpg", "x.tif"]
    assert belonging_files(["b.jpg"]) == set()


def test_addresses_of_rasters_are_taken_as_they_are(monkeypatch):
    for address in ("https://there.org/a.tif", "s3://bucket/a.TIFF", "/vsicurl/https://there.org/a", "gs://b/c.vrt"):
        assert is_remote_raster(address)
        assert find_pictures([address]) == [address]
    for address in ("https://there.org/a.jpg", "s3://bucket/*.tif", "a.tif", "s3://bucket/"):
        assert not is_remote_raster(address)
    monkeypatch.setattr("lookwhere_cli.images.large.names.has_rasterio", lambda: False)
    assert not is_remote_raster("https://there.org/a.tif")
    assert is_remote_raster("/vsicurl/https://there.org/a")
