using System;
using UnityEngine;
using Object = UnityEngine.Object;

namespace Metasim
{
    /// <summary>Takes the images: RGB, sRGB, rows from bottom to top.</summary>
    internal sealed class Picture : IDisposable
    {
        private const int DepthBits = 24;

        private readonly RenderTexture _target;
        private readonly Texture2D _read;

        /// <summary>Images of a size, with so many samples for each pixel: 1, 2, 4 or 8.</summary>
        public Picture(int width, int height, int samples)
        {
            // By default a target holds sRGB in both colour spaces of Unity, and reading changes no byte.
            _target = new RenderTexture(
                width, height, DepthBits, RenderTextureFormat.ARGB32, RenderTextureReadWrite.Default)
            {
                antiAliasing = samples,
            };
            _read = new Texture2D(width, height, TextureFormat.RGB24, false, false);
        }

        /// <summary>What a camera sees, 3 bytes for each pixel.</summary>
        public byte[] Take(Camera camera)
        {
            RenderTexture before = RenderTexture.active, own = camera.targetTexture;
            try
            {
                camera.targetTexture = _target;
                camera.Render();
                RenderTexture.active = _target;
                _read.ReadPixels(new Rect(0, 0, _target.width, _target.height), 0, 0, false);
            }
            finally
            {
                camera.targetTexture = own;
                RenderTexture.active = before;
            }

            return _read.GetRawTextureData();
        }

        /// <summary>Frees what the graphics card holds.</summary>
        public void Dispose()
        {
            _target.Release();
            Object.Destroy(_target);
            Object.Destroy(_read);
        }
    }
}
