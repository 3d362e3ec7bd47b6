"""The models of the table-top: how well their yaw can be told, and a picture of them.

python -m tests.benchmarks.models --out results/benchmarks/models.json --figure models.png
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import metasim_blender
from metasim_blender.modelling.views import asymmetry
from metasim_blender.ply import PlyMesh, read_ply
from tests.benchmarks.records import table, write_json

FOLDER = Path(metasim_blender.__file__).parent / "models"
CELL, COLUMNS, SAMPLES = 192, 5, 128
CREASE = math.radians(38)


def main() -> None:
    """Measure, show, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--yaw", type=float, default=-35.0)
    args = parser.parse_args()
    models = {path.stem: read_ply(path) for path in sorted(FOLDER.glob("*.ply"))}
    if args.out:
        found = {name: measured(mesh) for name, mesh in models.items()}
        rows = [[name, *entry.values()] for name, entry in found.items()]
        table(["model", *next(iter(found.values()))], rows)
        write_json(args.out, found)
    if args.figure:
        draw(models, args.figure, args.yaw)


def measured(mesh: PlyMesh) -> dict[str, Any]:
    """Size and asymmetry, the latter also with all parts in one colour."""
    extent = mesh.vertices.max(0) - mesh.vertices.min(0)
    plain = replace(mesh, colours=np.full_like(mesh.colours, 255))
    return {
        "triangles": len(mesh.faces),
        "across mm": float(extent[:2].max()),
        "high mm": float(extent[2]),
        **asdict(asymmetry(mesh)),
        **{f"{key} in one colour": value for key, value in asdict(asymmetry(plain)).items()},
    }


# --- the picture --------------------------------------------------------------------------


def draw(models: dict[str, PlyMesh], path: Path, yaw: float) -> None:
    """A grid of all models from 40 degrees above, as Cycles draws them."""
    rows = math.ceil(len(models) / COLUMNS)
    grid = Image.new("RGB", (COLUMNS * CELL, rows * CELL), "white")
    pen, font = ImageDraw.Draw(grid), ImageFont.load_default(14)
    for i, (name, picture) in enumerate(pictures(models, yaw)):
        corner = (i % COLUMNS * CELL, i // COLUMNS * CELL)
        grid.paste(picture, corner)
        pen.text((corner[0] + 6, corner[1] + 4), name, "#303030", font)
    # 6 bits a channel keep the file small.
    levels = np.minimum((np.asarray(grid).astype(int) + 2) // 4 * 4, 255)
    Image.fromarray(levels.astype(np.uint8)).save(path, optimize=True)


def pictures(models: dict[str, PlyMesh], yaw: float) -> Iterator[tuple[str, Image.Image]]:
    """Each model on a plain ground."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    studio(bpy, scene)
    for name, mesh in models.items():
        shape = placed(bpy, scene, mesh)
        shape.rotation_euler = (0, 0, math.radians(yaw))
        low, high = mesh.vertices.min(0) / 1000, mesh.vertices.max(0) / 1000
        aim(scene, float(high[2]) / 2, float(np.linalg.norm(high - low)))
        with tempfile.TemporaryDirectory() as folder:
            scene.render.filepath = str(Path(folder) / "one.png")
            bpy.ops.render.render(write_still=True)
            with Image.open(scene.render.filepath) as image:
                # Without the faintest shadow, which the cell's edge would cut.
                image.putalpha(image.getchannel("A").point(lambda a: max(0, (a - 24) * 255 // 231)))
                yield name, Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        bpy.data.objects.remove(shape)


def studio(bpy: Any, scene: Any) -> None:
    """Camera, sun, sky and ground."""
    scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
    scene.cycles.samples, scene.cycles.use_denoising = SAMPLES, True
    scene.render.resolution_x = scene.render.resolution_y = CELL
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    sky = scene.world.node_tree.nodes["Background"].inputs
    sky["Color"].default_value, sky["Strength"].default_value = (1, 1, 1, 1), 0.6
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle = 2.2, math.radians(8)
    sun = bpy.data.objects.new("sun", light)
    sun.rotation_euler = (math.radians(40), math.radians(12), math.radians(-35))
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    ground = bpy.data.meshes.new("ground")
    ground.from_pydata([(-9, -9, 0), (9, -9, 0), (9, 9, 0), (-9, 9, 0)], [], [(0, 1, 2, 3)])
    floor = bpy.data.objects.new("ground", ground)
    # White but for the shadow: what is flat takes little room in a PNG.
    scene.render.film_transparent = floor.is_shadow_catcher = True
    scene.render.image_settings.color_mode = "RGBA"
    for thing in (sun, scene.camera, floor):
        scene.collection.objects.link(thing)


def placed(bpy: Any, scene: Any, mesh: PlyMesh) -> Any:
    """The object of a mesh, smooth but for sharp edges, in its own colours."""
    data = bpy.data.meshes.new("model")
    data.from_pydata((mesh.vertices / 1000).tolist(), [], mesh.faces.tolist())
    data.shade_smooth()
    data.set_sharp_from_angle(angle=CREASE)
    colours = np.column_stack([mesh.colours / 255, np.ones(len(mesh.colours))])
    layer = data.attributes.new("colour", "BYTE_COLOR", "POINT")
    layer.data.foreach_set("color_srgb", colours.astype(np.float32).ravel())
    made = bpy.data.materials.new("model")
    made.use_nodes = True
    painted = made.node_tree.nodes.new("ShaderNodeVertexColor")
    painted.layer_name = "colour"
    surface = made.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    made.node_tree.links.new(painted.outputs["Color"], surface)
    data.materials.append(made)
    shape = bpy.data.objects.new("model", data)
    scene.collection.objects.link(shape)
    return shape


def aim(scene: Any, height: float, size: float) -> None:
    """Look at a point above the origin from 40 degrees above, something of ``size`` in view."""
    camera, away = scene.camera, 4 * size
    camera.data.angle = 2 * math.atan(0.5 / 4)
    camera.location = (
        0,
        -away * math.cos(math.radians(40)),
        height + away * math.sin(math.radians(40)),
    )
    camera.rotation_euler = (math.radians(50), 0, 0)


if __name__ == "__main__":
    main()
