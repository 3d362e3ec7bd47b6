using System.Collections.Generic;
using UnityEngine;

namespace Metasim
{
    /// <summary>Makes a white cube the table: width, depth, red, green and blue.</summary>
    /// <remarks>Its top is at 0; it is as thick as the prefab is high. A table without a side is none.</remarks>
    public sealed class MetasimTable : MonoBehaviour, IMetasimAttributes
    {
        private const float Widest = 100;

        /// <inheritdoc/>
        public IEnumerable<string> Names => new[] { "width", "depth", "red", "green", "blue" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            float width = node.Number("width", 1, 0, Widest), depth = node.Number("depth", 1, 0, Widest);
            float thick = transform.localScale.y;
            transform.localScale = new Vector3(width, thick, depth);
            transform.position = Vector3.down * (thick / 2);
            MetasimTint.Multiply(gameObject, node.Colour(0.8f, 0.75f, 0.7f));
            gameObject.SetActive(width > 0 && depth > 0);
        }
    }
}
