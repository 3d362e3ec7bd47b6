using System.Collections.Generic;
using System.Linq;
using UnityEngine;
using UnityEngine.Rendering;
using UnityEngine.SceneManagement;

namespace Metasim
{
    /// <summary>A mesh that the camera may see, and the instance that it belongs to.</summary>
    internal sealed class Surface
    {
        private Surface(Renderer renderer, int instance, int parts)
        {
            Renderer = renderer;
            Instance = instance;
            Parts = parts;
        }

        /// <summary>What draws it.</summary>
        public Renderer Renderer { get; }

        /// <summary>The id of its instance, or 0.</summary>
        public int Instance { get; }

        /// <summary>How many parts of the mesh are drawn.</summary>
        public int Parts { get; }

        /// <summary>All surfaces that a scene's camera may see, those that were in Unity before included.</summary>
        public static List<Surface> All(BuiltScene scene)
        {
            var instances = new Dictionary<Renderer, int>();
            foreach (SceneNode node in scene.Nodes.Where(node => node.Instance > 0))
            {
                foreach (Renderer one in node.Object.GetComponentsInChildren<Renderer>())
                {
                    instances[one] = node.Instance;
                }
            }

            var found = new List<Surface>();
            foreach (Renderer one in Renderers().Where(one => Seen(one, scene.Camera)))
            {
                int parts = Drawn(one);
                instances.TryGetValue(one, out int instance);
                if (parts > 0)
                {
                    found.Add(new Surface(one, instance, parts));
                }
            }

            return found;
        }

        private static IEnumerable<Renderer> Renderers()
        {
            return Enumerable.Range(0, SceneManager.sceneCount).Select(SceneManager.GetSceneAt)
                .Where(loaded => loaded.isLoaded)
                .SelectMany(loaded => loaded.GetRootGameObjects())
                .SelectMany(root => root.GetComponentsInChildren<Renderer>());
        }

        private static bool Seen(Renderer one, Camera camera)
        {
            return one.enabled
                && !one.forceRenderingOff
                && one.shadowCastingMode != ShadowCastingMode.ShadowsOnly
                && (camera.cullingMask & 1 << one.gameObject.layer) != 0;
        }

        /// <summary>How many parts of its mesh a renderer draws: those that have a material.</summary>
        private static int Drawn(Renderer one)
        {
            var skinned = one as SkinnedMeshRenderer;
            var filter = one.GetComponent<MeshFilter>();
            Mesh mesh = skinned != null ? skinned.sharedMesh : filter != null ? filter.sharedMesh : null;
            return mesh == null ? 0 : Mathf.Min(mesh.subMeshCount, one.sharedMaterials.Length);
        }
    }
}
