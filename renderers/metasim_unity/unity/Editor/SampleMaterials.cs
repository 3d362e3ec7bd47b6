using UnityEditor;
using UnityEngine;
using UnityEngine.Rendering;

namespace Metasim.Editor
{
    /// <summary>Matt materials, as assets, for the pipeline that the project has.</summary>
    internal sealed class SampleMaterials
    {
        private readonly string _folder;
        private readonly bool _builtIn = GraphicsSettings.currentRenderPipeline == null;

        /// <summary>Materials in a folder of the project.</summary>
        public SampleMaterials(string folder)
        {
            _folder = folder;
        }

        /// <summary>A material of a colour in sRGB.</summary>
        public Material Make(string name, Color colour)
        {
            string shader = _builtIn ? "Legacy Shaders/Diffuse" : "Universal Render Pipeline/Simple Lit";
            var material = new Material(Shader.Find(shader)) { name = name };
            material.SetColor(_builtIn ? "_Color" : "_BaseColor", colour);
            AssetDatabase.CreateAsset(material, _folder + "/" + name + ".mat");
            return material;
        }
    }
}
