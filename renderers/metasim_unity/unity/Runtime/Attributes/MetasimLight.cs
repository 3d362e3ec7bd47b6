using System.Collections.Generic;
using UnityEngine;

namespace Metasim
{
    /// <summary>Turns a directional light: azimuth, elevation, strength, red, green and blue.</summary>
    [RequireComponent(typeof(Light))]
    public sealed class MetasimLight : MonoBehaviour, IMetasimAttributes
    {
        private const float Turns = 36000;

        /// <inheritdoc/>
        public IEnumerable<string> Names => new[] { "azimuth", "elevation", "strength", "red", "green", "blue" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            transform.rotation = Axes.Looking(
                node.Number("azimuth", 315, -Turns, Turns), node.Number("elevation", 50, -90, 90));
            var lamp = GetComponent<Light>();
            lamp.type = LightType.Directional;
            lamp.useColorTemperature = false;
            lamp.intensity = node.Number("strength", 0.8f, 0, 1000);
            lamp.color = node.Colour(1, 1, 1);
        }
    }
}
