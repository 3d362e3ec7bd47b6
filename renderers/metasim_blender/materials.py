"""Materials as Blender's nodes: colours of the model, its picture, and the object's own tint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["COLOURS", "Profile", "Shading", "make_material"]

COLOURS: Final = "metasim_colour"
"""A mesh's attribute with the colours of its corners, linear light."""

Profile = Literal["fast", "unlit", "quality"]


@dataclass(frozen=True, slots=True)
class Shading:
    """What a material looks like.

    Attributes:
        colour: linear light.
        colours: whether the mesh has the attribute :data:`COLOURS`.
        picture: an image of Blender's, or None.
        mapped: whether the mesh says where the picture goes; else it is laid on from six sides.
        roughness: from 0 to 1.
        metallic: from 0 to 1.
    """

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    colours: bool = False
    picture: Any = None
    mapped: bool = False
    roughness: float = 0.6
    metallic: float = 0.0


def make_material(bpy: Any, shading: Shading, profile: Profile) -> Any:
    """A new material.

    The tint is the object's colour, so that objects share meshes and materials: changing a
    material means that all shaders are compiled anew. In "fast" the light from everywhere, the
    object's alpha, is added without sampling it, so that it has no noise.
    """
    material = bpy.data.materials.new("metasim")
    if material.node_tree is None:  # since Blender 5 there always is one
        material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()
    about = tree.nodes.new("ShaderNodeObjectInfo")
    base = _times(tree, about.outputs["Color"], _constant(tree, shading.colour))
    if shading.colours:
        attribute = tree.nodes.new("ShaderNodeAttribute")
        attribute.attribute_name = COLOURS
        base = _times(tree, base, attribute.outputs["Color"])
    if shading.picture is not None:
        base = _times(tree, base, _picture(tree, shading))
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    surface = _surface(tree, base, about.outputs["Alpha"], shading, profile)
    tree.links.new(surface, output.inputs["Surface"])
    return material


def _surface(tree: Any, base: Any, ambient: Any, shading: Shading, profile: Profile) -> Any:
    if profile == "quality":
        node = tree.nodes.new("ShaderNodeBsdfPrincipled")
        node.inputs["Roughness"].default_value = shading.roughness
        node.inputs["Metallic"].default_value = shading.metallic
        tree.links.new(base, node.inputs["Base Color"])
        return node.outputs["BSDF"]
    glow = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(base, glow.inputs["Color"])
    if profile == "unlit":
        return glow.outputs["Emission"]
    tree.links.new(ambient, glow.inputs["Strength"])
    matt = tree.nodes.new("ShaderNodeBsdfDiffuse")
    tree.links.new(base, matt.inputs["Color"])
    both = tree.nodes.new("ShaderNodeAddShader")
    tree.links.new(glow.outputs["Emission"], both.inputs[0])
    tree.links.new(matt.outputs["BSDF"], both.inputs[1])
    return both.outputs["Shader"]


def _constant(tree: Any, colour: tuple[float, float, float]) -> Any:
    node = tree.nodes.new("ShaderNodeRGB")
    node.outputs[0].default_value = (*colour, 1.0)
    return node.outputs[0]


def _times(tree: Any, one: Any, other: Any) -> Any:
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = "MULTIPLY"
    tree.links.new(one, node.inputs[0])
    tree.links.new(other, node.inputs[1])
    return node.outputs["Vector"]


def _picture(tree: Any, shading: Shading) -> Any:
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = shading.picture
    if not shading.mapped:
        where = tree.nodes.new("ShaderNodeTexCoord")
        node.projection, node.projection_blend = "BOX", 0.1
        tree.links.new(where.outputs["Generated"], node.inputs["Vector"])
    return node.outputs["Color"]
