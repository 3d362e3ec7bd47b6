using System.Collections.Generic;
using UnityEngine;

namespace Metasim
{
    /// <summary>Multiplies an object's own colours: red, green and blue, from 0 to 1 in sRGB.</summary>
    public sealed class MetasimTint : MonoBehaviour, IMetasimAttributes
    {
        // Of the built-in pipeline and of URP.
        private static readonly int[] Colours = { Shader.PropertyToID("_Color"), Shader.PropertyToID("_BaseColor") };

        /// <inheritdoc/>
        public IEnumerable<string> Names => new[] { "red", "green", "blue" };

        /// <inheritdoc/>
        public void Apply(SceneNode node)
        {
            Multiply(gameObject, node.Colour(1, 1, 1));
        }

        /// <summary>Multiplies the colours of all materials of an object, without making new materials.</summary>
        public static void Multiply(GameObject thing, Color tint)
        {
            foreach (Renderer one in thing.GetComponentsInChildren<Renderer>(true))
            {
                Material[] materials = one.sharedMaterials;
                for (int place = 0; place < materials.Length; place++)
                {
                    if (materials[place] != null)
                    {
                        Multiply(one, place, materials[place], tint);
                    }
                }
            }
        }

        private static void Multiply(Renderer one, int place, Material material, Color tint)
        {
            var block = new MaterialPropertyBlock();
            one.GetPropertyBlock(block, place);
            foreach (int colour in Colours)
            {
                if (material.HasProperty(colour))
                {
                    block.SetColor(colour, material.GetColor(colour) * tint);
                }
            }

            one.SetPropertyBlock(block, place);
        }
    }
}
