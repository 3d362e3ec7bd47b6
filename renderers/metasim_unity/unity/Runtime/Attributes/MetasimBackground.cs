using System.Collections.Generic;
using UnityEngine;
using UnityEngine.Rendering;

namespace Metasim
{
    /// <summary>What is behind everything, red, green and blue, and light from everywhere, ambient.</summary>
    public sealed class MetasimBackground : MonoBehaviour, IMetasimAttributes
    {
        private const float Brightest = 100;

        /// <inheritdoc/>
        public IEnumerable<string> Names => new[] { "red", "green", "blue", "ambient" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            float ambient = node.Number("ambient", 0.35f, 0, Brightest);
            node.Scene.Background = node.Colour(0.3f, 0.35f, 0.4f);
            RenderSettings.ambientMode = AmbientMode.Flat;
            RenderSettings.ambientLight = new Color(ambient, ambient, ambient);
            RenderSettings.reflectionIntensity = 0; // else the sky is mirrored by everything
        }
    }
}
