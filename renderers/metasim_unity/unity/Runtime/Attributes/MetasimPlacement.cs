using System.Collections.Generic;
using UnityEngine;

namespace Metasim
{
    /// <summary>Puts an object: x, y, z, yaw, roll, pitch and scale.</summary>
    public sealed class MetasimPlacement : MonoBehaviour, IMetasimAttributes
    {
        private const float Anywhere = 1000;
        private const float Turns = 36000;

        /// <inheritdoc/>
        public IEnumerable<string> Names => new[] { "x", "y", "z", "yaw", "roll", "pitch", "scale" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            transform.localScale *= node.Number("scale", 1, 0.001f, 1000);
            transform.rotation = Axes.ToUnityTurn(
                node.Number("roll", 0, -Turns, Turns),
                node.Number("pitch", 0, -Turns, Turns),
                node.Number("yaw", 0, -Turns, Turns));
            transform.position = Axes.ToUnity(
                node.Number("x", 0, -Anywhere, Anywhere), node.Number("y", 0, -Anywhere, Anywhere), 0);
            float z = node.Number("z", 0, -Anywhere, Anywhere);
            transform.position += Vector3.up * (z - Lowest());
        }

        /// <summary>How high the lowest point of the object is.</summary>
        private float Lowest()
        {
            float lowest = float.PositiveInfinity;
            var corners = new List<Vector3>();
            foreach (Renderer one in GetComponentsInChildren<Renderer>())
            {
                var filter = one.GetComponent<MeshFilter>();
                Mesh mesh = filter == null ? null : filter.sharedMesh;
                if (mesh == null || !mesh.isReadable)
                {
                    lowest = Mathf.Min(lowest, one.bounds.min.y); // exact for boxes only
                    continue;
                }

                Vector4 up = one.transform.localToWorldMatrix.GetRow(1);
                mesh.GetVertices(corners);
                foreach (Vector3 corner in corners)
                {
                    lowest = Mathf.Min(lowest, Vector3.Dot(up, corner) + up.w);
                }
            }

            return float.IsPositiveInfinity(lowest) ? 0 : lowest;
        }
    }
}
