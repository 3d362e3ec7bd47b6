"""Bpy that is missing or does not load, and passes that a build does not give."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from metasim.errors import MissingExtraError, PluginError, RenderError
from metasim_blender import BlenderRenderer, engine
from metasim_blender.exr import read_exr
from metasim_blender.passes import FileReader, MemoryReader


def failing(monkeypatch, error):
    def import_module(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_importing_the_package_does_not_import_bpy():
    code = "import sys, metasim_blender; sys.exit('bpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_bpy_the_extra_is_named(monkeypatch):
    failing(monkeypatch, ModuleNotFoundError("No module named 'bpy'", name="bpy"))
    monkeypatch.setattr(engine, "_PYTHONS", (sys.version_info[:2],))
    with pytest.raises(MissingExtraError, match=r"pip install 'metasim\[blender\]'"):
        BlenderRenderer()
    monkeypatch.setattr(engine, "_PYTHONS", ((3, 5),))
    with pytest.raises(PluginError, match=r"builds for Python 3\.5, and this is"):
        BlenderRenderer()


def test_a_missing_library_is_named_with_what_to_install(monkeypatch):
    said = "libXi.so.6: cannot open shared object file: No such file or directory"
    failing(monkeypatch, ImportError(said))
    with pytest.raises(PluginError, match=r"library libXi\.so\.6.* apt install .*libxi6"):
        BlenderRenderer()


def test_another_fault_is_told_as_it_is(monkeypatch):
    failing(monkeypatch, ImportError("undefined symbol: what"))
    with pytest.raises(PluginError, match=r"undefined symbol: what.*--force-reinstall"):
        BlenderRenderer()


def test_what_it_lacks_is_found_out_in_another_process(monkeypatch, tmp_path):
    """Here a module that fails as bpy does where a library is missing."""
    text = "libSM.so.6: cannot open shared object file: No such file or directory"
    (tmp_path / "bpy.py").write_text(f"raise ImportError({text!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    (told,) = BlenderRenderer.lacks()
    assert "libSM.so.6" in told
    assert "apt install" in told
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (told,) = BlenderRenderer.lacks()
    assert "needs bpy" in told


@pytest.mark.blender
def test_with_bpy_it_lacks_nothing():
    assert BlenderRenderer.lacks() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_size": (64,)}, "image_size must be"),
        ({"image_size": (0, 64)}, "from 1 to 8192"),
        ({"image_size": (64.0, 64)}, "whole numbers"),
        ({"samples": 0}, "samples must be from 1"),
        ({"samples": "many"}, "samples must be a whole number"),
        ({"profile": "eevee"}, "fast, unlit, quality"),
    ],
)
def test_a_wrong_option_is_refused(options, told):
    with pytest.raises(PluginError, match=told):
        BlenderRenderer(**options)


@pytest.mark.blender
def test_what_blender_prints_is_dropped_and_what_others_print_is_not(made, scene, capfd):
    print("before")
    made().render([scene()])
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"


@pytest.mark.blender
def test_without_standard_output_it_draws_as_well(made, scene):
    renderer = made()
    expected = renderer.render([scene()]).images
    kept = os.dup(1)
    os.close(1)
    try:
        found = renderer.render([scene()]).images
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert (found == expected).all()


@pytest.mark.blender
def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    bpy, _ = engine.start()
    settings = SimpleNamespace(get_devices_for_type=lambda kind: [])
    addon = SimpleNamespace(preferences=settings)
    context = SimpleNamespace(preferences=SimpleNamespace(addons={"cycles": addon}))
    fake = SimpleNamespace(context=context, data=bpy.data)
    with pytest.raises(PluginError, match=r"OPTIX.*take device: cpu"):
        engine.use_device(fake, "gpu")
    assert engine.use_device(fake, "auto") == "CPU"


def test_the_first_kind_of_gpu_that_is_there_is_used():
    cpu, gpu = (SimpleNamespace(type=kind, use=kind == "CPU") for kind in ("CPU", "HIP"))

    def of_type(kind):
        if kind == "OPTIX":
            raise ValueError("not known")
        return [cpu, gpu] if kind in ("HIP", "METAL") else [cpu]

    settings = SimpleNamespace(get_devices_for_type=of_type, devices=[cpu, gpu])
    addon = SimpleNamespace(preferences=settings)
    fake = SimpleNamespace(
        context=SimpleNamespace(preferences=SimpleNamespace(addons={"cycles": addon}))
    )
    assert engine.use_device(fake, "auto") == "GPU"
    assert settings.compute_device_type == "HIP"
    assert (cpu.use, gpu.use) == (False, True)


# --- passes -------------------------------------------------------------------------------


@pytest.fixture
def engine_class():
    return engine.start()[1]


@pytest.mark.blender
def test_what_is_raised_while_blender_renders_is_raised_again(
    made, scene, monkeypatch, engine_class
):
    """Blender prints it and goes on."""
    renderer = made()
    before = renderer.render([scene()]).images

    def broken(self, depsgraph):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_class, "render", broken)
    with pytest.raises(KeyboardInterrupt):
        renderer.render([scene()])
    monkeypatch.undo()
    assert (renderer.render([scene()]).images == before).all()


@pytest.mark.blender
def test_an_engine_that_gives_nothing_is_told_and_no_old_image_returned(made, scene, monkeypatch):
    renderer = made()
    renderer.render([scene()])
    monkeypatch.setattr("metasim_blender.passes._take", lambda *_: None)
    with pytest.raises(RenderError, match="a pass called Combined, got none"):
        renderer.render([scene()])


@pytest.mark.blender
def test_where_memory_gives_no_passes_they_come_from_files(made, scene, monkeypatch, caplog):
    scenes = [scene(("object", {"class": "mug", "yaw": y, "x": 0.1}), seed=3) for y in (0.0, 50.0)]
    expected = made().render(scenes)

    def unknown(*_):
        raise AttributeError("no get_result in this build")

    monkeypatch.setattr("metasim_blender.passes._take", unknown)
    with caplog.at_level(logging.WARNING):
        renderer = BlenderRenderer(models={"mug": "builtin"}, device="cpu")
    try:
        assert "no get_result in this build" in caplog.text
        assert isinstance(renderer._stage._reader, FileReader)
        found = renderer.render(scenes)
    finally:
        renderer.close()
    for plane in ("images", "instances", "depth", "normals"):
        assert (getattr(found, plane) == getattr(expected, plane)).all()
    assert found.labels == expected.labels


@pytest.mark.blender
def test_a_build_that_gives_no_passes_at_all_is_refused(monkeypatch):
    monkeypatch.setattr("metasim_blender.passes._take", lambda *_: None)

    def unreadable(path):
        raise RenderError("nothing was written")

    monkeypatch.setattr("metasim_blender.passes.read_exr", unreadable)
    with pytest.raises(PluginError, match=r"neither in memory nor in files.*nothing was written"):
        BlenderRenderer(models={"mug": "builtin"}, device="cpu")


@pytest.mark.blender
def test_where_a_gpu_does_not_render_the_cpu_does(box_file, monkeypatch, caplog):
    """It is found, and then has too old a driver or too little memory."""
    monkeypatch.setattr(engine, "use_device", lambda *_: "GPU")

    def failing_on_gpus(render):
        def tried(reader):
            if reader._scene.cycles.device == "GPU":
                raise RenderError("out of memory")
            return render(reader)

        return tried

    for reader in (MemoryReader, FileReader):
        monkeypatch.setattr(reader, "render", failing_on_gpus(reader.render))
    options = {"models": {"box": box_file}, "image_size": (8, 8)}
    with caplog.at_level(logging.WARNING), BlenderRenderer(**options) as renderer:
        assert renderer.render([]).images.shape == (0, 8, 8, 3)
    assert "the GPU that was found does not render" in caplog.text
    assert "out of memory" in caplog.text
    with pytest.raises(PluginError, match=r"device: gpu needs a GPU that renders.*take device: c"):
        BlenderRenderer(**options, device="gpu")


@pytest.mark.parametrize(
    "content", [b"", b"not an image at all", b"\x76\x2f\x31\x01\x02\0\0\0channels\0", bytes(300)]
)
def test_a_file_that_is_no_exr_is_refused(written, content):
    with pytest.raises(RenderError, match=r"it\.exr"):
        read_exr(written("it.exr", content))


def test_a_file_that_was_not_written_is_refused(tmp_path):
    with pytest.raises(RenderError, match="must have written"):
        read_exr(tmp_path / "gone.exr")


def test_rows_of_an_exr_are_put_in_order(written):
    """Two channels, 3 x 2 pixels, the lower row first."""

    def attribute(name, kind, value):
        head = f"{name}\0{kind}\0".encode()
        return head + len(value).to_bytes(4, "little") + value

    channels = b"".join(
        name + b"\0" + np.array([2, 0, 1, 1], "<i4").tobytes() for name in (b"A.X", b"A.Y")
    )
    values = np.arange(12, dtype="<f4").reshape(2, 2, 3)  # row, channel, column
    data = np.array([20000630, 2], "<u4").tobytes()
    data += attribute("channels", "chlist", channels + b"\0")
    data += attribute("compression", "compression", b"\0")
    data += attribute("dataWindow", "box2i", np.array([0, 0, 2, 1], "<i4").tobytes()) + b"\0"
    data += bytes(16)
    for y in (1, 0):
        data += np.array([y, 24], "<i4").tobytes() + values[y].tobytes()
    found = read_exr(written("it.exr", data))
    assert found["A.X"].tolist() == values[:, 0].tolist()
    assert found["A.Y"].tolist() == values[:, 1].tolist()
