"""The table-top scene: models on a table, drawn by Blender's Cycles."""
