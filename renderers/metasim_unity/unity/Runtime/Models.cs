using System.Collections.Generic;
using System.Linq;
using Metasim.Framing;
using UnityEngine;

namespace Metasim
{
    /// <summary>Reads the models of classes out of their prefabs.</summary>
    internal static class Models
    {
        /// <summary>Those that can be read; of classes that several kinds have, none.</summary>
        public static List<ModelMesh> Of(IEnumerable<MetasimKind> kinds)
        {
            return kinds.Where(kind => kind.labelled)
                .SelectMany(kind => kind.prefabs)
                .GroupBy(prefab => prefab.name)
                .Where(same => same.Distinct().Count() == 1)
                .Select(same => Read(same.First()))
                .Where(model => model != null)
                .ToList();
        }

        private static ModelMesh Read(GameObject prefab)
        {
            var vertices = new List<float>();
            var faces = new List<int>();
            foreach (Renderer one in prefab.GetComponentsInChildren<Renderer>(true).Where(one => one.enabled))
            {
                if (!TryPlace(prefab.transform, one.transform, out Matrix4x4 inside))
                {
                    continue;
                }

                var filter = one.GetComponent<MeshFilter>();
                if (filter == null || filter.sharedMesh == null || !filter.sharedMesh.isReadable)
                {
                    return null; // a skin, or a mesh that only the graphics card has
                }

                Add(filter.sharedMesh, Axes.Swap * inside, vertices, faces);
            }

            return faces.Count == 0 ? null : new ModelMesh(prefab.name, vertices.ToArray(), faces.ToArray());
        }

        /// <summary>From a part's axes to those of what it is below; whether it is shown there.</summary>
        /// <remarks>Prefabs are in no scene, so that nothing in them counts as active.</remarks>
        private static bool TryPlace(Transform whole, Transform part, out Matrix4x4 inside)
        {
            inside = Matrix4x4.identity;
            for (Transform one = part; one != whole; one = one.parent)
            {
                if (!one.gameObject.activeSelf)
                {
                    return false;
                }

                inside = Matrix4x4.TRS(one.localPosition, one.localRotation, one.localScale) * inside;
            }

            return true;
        }

        private static void Add(Mesh mesh, Matrix4x4 matrix, List<float> vertices, List<int> faces)
        {
            int first = vertices.Count / 3;
            foreach (Vector3 corner in mesh.vertices)
            {
                Vector3 there = matrix.MultiplyPoint3x4(corner);
                vertices.Add(there.x);
                vertices.Add(there.y);
                vertices.Add(there.z);
            }

            // Unity's faces are clockwise from outside; those of a part that is mirrored are so no more.
            // Swapping two axes tells of the same surface in other numbers.
            Vector3 x = matrix.GetColumn(0), y = matrix.GetColumn(1), z = matrix.GetColumn(2);
            bool mirrored = Vector3.Dot(Vector3.Cross(x, y), z) > 0;
            int[] corners = mesh.triangles;
            for (int place = 0; place < corners.Length; place += 3)
            {
                faces.Add(first + corners[place]);
                faces.Add(first + corners[place + (mirrored ? 1 : 2)]);
                faces.Add(first + corners[place + (mirrored ? 2 : 1)]);
            }
        }
    }
}
