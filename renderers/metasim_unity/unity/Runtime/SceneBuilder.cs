using System;
using System.Collections.Generic;
using System.Linq;
using Metasim.Framing;
using UnityEngine;
using Scene = Metasim.Framing.Scene;

namespace Metasim
{
    /// <summary>Builds scenes of prefabs, one at a time.</summary>
    /// <remarks>
    /// Objects are made anew for each scene, so that nothing of one is left in the next. Unity destroys
    /// them only at the end of the frame, so those of the scene before are hidden at once, and a frame
    /// must pass before what is built is drawn.
    /// </remarks>
    internal sealed class SceneBuilder
    {
        private const int MostInstances = ushort.MaxValue;
        private const int RandomOfUnity = -1; // no node's place

        private readonly Dictionary<string, MetasimKind> _kinds;
        private readonly Camera _fallback;
        private GameObject _root;

        /// <summary>A builder.</summary>
        /// <param name="kinds">What is made of nodes.</param>
        /// <param name="fallback">The camera of scenes whose nodes have none, or null.</param>
        public SceneBuilder(IReadOnlyList<MetasimKind> kinds, Camera fallback)
        {
            foreach (MetasimKind kind in kinds)
            {
                Check(kind);
            }

            string twice = kinds.GroupBy(kind => kind.name).FirstOrDefault(same => same.Count() > 1)?.Key;
            if (twice != null)
            {
                throw new InvalidOperationException("the bridge must have each kind once, got twice " + twice);
            }

            _kinds = kinds.ToDictionary(kind => kind.name);
            _fallback = fallback;
        }

        private static void Check(MetasimKind kind)
        {
            if (kind.prefabs.Length == 0 || kind.prefabs.Any(prefab => prefab == null))
            {
                throw new InvalidOperationException(
                    "every kind of the bridge must have prefabs, and none may be missing: " + kind.name);
            }

            if (kind.Classes.Distinct().Count() < kind.prefabs.Length)
            {
                throw new InvalidOperationException(
                    "the prefabs of a kind must have names that differ: " + kind.name);
            }
        }

        /// <summary>Kind to the attributes that it understands.</summary>
        public IReadOnlyList<KeyValuePair<string, IReadOnlyList<string>>> Kinds =>
            _kinds.Values.Select(kind => Pair(kind.name, kind.Attributes)).ToList();

        /// <summary>Kind to its classes, for those with labels.</summary>
        public IReadOnlyList<KeyValuePair<string, IReadOnlyList<string>>> Categories =>
            _kinds.Values.Where(kind => kind.labelled).Select(kind => Pair(kind.name, kind.Classes)).ToList();

        private static KeyValuePair<string, IReadOnlyList<string>> Pair(
            string kind, IReadOnlyList<string> names)
        {
            return new KeyValuePair<string, IReadOnlyList<string>>(kind, names);
        }

        /// <summary>Builds a scene in the place of the last; draw it after a frame has passed.</summary>
        /// <exception cref="RequestException">It cannot be built.</exception>
        public BuiltScene Build(Scene scene, int width, int height)
        {
            Clear();
            _root = new GameObject("metasim scene");
            UnityEngine.Random.InitState(scene.Random(RandomOfUnity));
            var built = new BuiltScene(scene, width, height);
            for (int place = 0; place < scene.Nodes.Count; place++)
            {
                Node node = scene.Nodes[place];
                Put(built, new SceneNode(
                    node, place, built, node.Parent < 0 ? null : built.Built[node.Parent]));
            }

            foreach (MetasimKind kind in _kinds.Values.Where(kind => kind.always))
            {
                if (built.Nodes.All(node => node.Kind != kind.name))
                {
                    var silent = new Node(kind.name, kind.name, -1, new JsonObject());
                    Put(built, new SceneNode(silent, -1, built, null));
                }
            }

            built.Camera = FindCamera(built);
            return built;
        }

        /// <summary>Takes the scene away: out of sight at once, out of memory at the end of the frame.</summary>
        public void Clear()
        {
            if (_root != null)
            {
                _root.SetActive(false);
                UnityEngine.Object.Destroy(_root);
                _root = null;
            }
        }

        private void Put(BuiltScene scene, SceneNode node)
        {
            if (!_kinds.TryGetValue(node.Kind, out MetasimKind kind))
            {
                throw node.Refused("this player builds nodes of kind " + string.Join(", ", _kinds.Keys));
            }

            if (kind.once && scene.Nodes.Any(other => other.Kind == node.Kind))
            {
                throw node.Refused("a scene must have at most one " + node.Kind + "; remove one");
            }

            GameObject prefab = Choose(kind, node);
            node.Category = prefab.name;
            node.Object = UnityEngine.Object.Instantiate(prefab, _root.transform);
            node.Object.SetActive(true);
            scene.Built.Add(node);
            if (kind.labelled && node.Place >= 0)
            {
                node.Instance = 1 + scene.Nodes.Count(other => other.Instance > 0);
                if (node.Instance > MostInstances)
                {
                    throw node.Refused("a scene must have at most " + MostInstances + " instances");
                }
            }

            Apply(kind, node);
        }

        private static GameObject Choose(MetasimKind kind, SceneNode node)
        {
            if (!kind.Chosen || !node.Says(MetasimKind.Class))
            {
                return kind.prefabs[node.Scene.Random(node.Place) % kind.prefabs.Length];
            }

            string wanted = node.Text(MetasimKind.Class, "");
            return Array.Find(kind.prefabs, prefab => prefab.name == wanted)
                ?? throw node.Refused(
                    "class must be one of " + string.Join(", ", kind.Classes) + ", got " + wanted);
        }

        private static void Apply(MetasimKind kind, SceneNode node)
        {
            var known = new HashSet<string>(MetasimKind.AttributesOf(node.Object));
            if (kind.Chosen)
            {
                known.Add(MetasimKind.Class);
            }

            string unknown = node.Attributes.Keys.FirstOrDefault(name => !known.Contains(name));
            if (unknown != null)
            {
                throw node.Refused(
                    "a " + node.Category + " understands "
                    + string.Join(", ", known.OrderBy(name => name, StringComparer.Ordinal))
                    + ", got " + unknown);
            }

            foreach (IMetasimAttributes one in node.Object.GetComponentsInChildren<IMetasimAttributes>(true))
            {
                one.Apply(node);
            }
        }

        private Camera FindCamera(BuiltScene scene)
        {
            Camera[] found = _root.GetComponentsInChildren<Camera>();
            if (found.Length > 1 || (found.Length == 0 && _fallback == null))
            {
                throw new RequestException(
                    ErrorCode.Scene,
                    "a scene must have one camera, got " + found.Length + "; see the README on cameras");
            }

            Camera camera = found.Length == 1 ? found[0] : _fallback;
            if (camera.orthographic)
            {
                throw new RequestException(
                    ErrorCode.Scene, "the camera must be perspective, but is orthographic");
            }

            camera.enabled = false; // it is drawn when it is wanted, not with every frame
            camera.aspect = (float)scene.Width / scene.Height;
            if (scene.Background.HasValue)
            {
                camera.clearFlags = CameraClearFlags.SolidColor;
                camera.backgroundColor = scene.Background.Value;
            }

            return camera;
        }
    }
}
