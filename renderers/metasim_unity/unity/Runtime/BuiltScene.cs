using System.Collections.Generic;
using UnityEngine;
using Scene = Metasim.Framing.Scene;

namespace Metasim
{
    /// <summary>A scene as it stands in Unity.</summary>
    public sealed class BuiltScene
    {
        private readonly Scene _scene;

        internal BuiltScene(Scene scene, int width, int height)
        {
            _scene = scene;
            Width = width;
            Height = height;
        }

        /// <summary>Of the image, in pixels.</summary>
        public int Width { get; }

        /// <summary>Of the image, in pixels.</summary>
        public int Height { get; }

        /// <summary>What is behind everything; where it is null, what the camera says.</summary>
        public Color? Background { get; set; }

        /// <summary>The camera that the image is of.</summary>
        public Camera Camera { get; internal set; }

        /// <summary>The nodes that were built: those of the scene, then those that are there by default.</summary>
        public IReadOnlyList<SceneNode> Nodes => Built;

        internal List<SceneNode> Built { get; } = new List<SceneNode>();

        /// <summary>31 bits that follow from the scene's seed and a number, alike on every machine.</summary>
        public int Random(int number)
        {
            return _scene.Random(number);
        }
    }
}
