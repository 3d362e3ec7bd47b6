using System.Collections.Generic;
using UnityEngine;

namespace Metasim
{
    /// <summary>Points a camera: distance, azimuth and elevation, fov, and what it looks at, x, y, z.</summary>
    [RequireComponent(typeof(Camera))]
    public sealed class MetasimCamera : MonoBehaviour, IMetasimAttributes
    {
        private const float Anywhere = 1000;
        private const float Turns = 36000;

        /// <inheritdoc/>
        public IEnumerable<string> Names =>
            new[] { "distance", "azimuth", "elevation", "fov", "x", "y", "z" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            Vector3 target = Axes.ToUnity(
                node.Number("x", 0, -Anywhere, Anywhere),
                node.Number("y", 0, -Anywhere, Anywhere),
                node.Number("z", 0.05f, -Anywhere, Anywhere));
            Quaternion turn = Axes.Looking(
                node.Number("azimuth", 0, -Turns, Turns), node.Number("elevation", 45, -90, 90));
            transform.rotation = turn;
            transform.position = target - turn * Vector3.forward * node.Number("distance", 1.6f, 0.01f, 100);
            GetComponent<Camera>().fieldOfView = Upright(node.Number("fov", 40, 1, 170), node.Scene);
        }

        /// <summary>The angle from bottom to top, of one across the larger side.</summary>
        private static float Upright(float degrees, BuiltScene scene)
        {
            float upright = Mathf.Min(1, (float)scene.Height / scene.Width);
            return 2 * Mathf.Rad2Deg * Mathf.Atan(Mathf.Tan(degrees * Mathf.Deg2Rad / 2) * upright);
        }
    }
}
