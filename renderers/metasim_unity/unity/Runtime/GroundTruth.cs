using System;
using System.Collections.Generic;
using Metasim.Framing;
using UnityEngine;
using UnityEngine.Rendering;
using Object = UnityEngine.Object;

namespace Metasim
{
    /// <summary>Draws ids, depths and normals as floats, without blending or smoothed edges.</summary>
    /// <remarks>
    /// Command buffers draw the renderers with a material of ours: nothing of the scene changes for it,
    /// and it is the same in the built-in pipeline and in URP, whatever effects the images have.
    /// </remarks>
    internal sealed class GroundTruth : IDisposable
    {
        /// <summary>The pass whose numbers are the instance's id and the depth; all 0 without a surface.</summary>
        public const int IdAndDepth = 0;

        /// <summary>The pass whose numbers are the normal in the camera's frame; all 0 without a surface.</summary>
        public const int Normals = 1;

        private const string ShaderName = "Metasim/GroundTruth";
        private const int DepthBits = 24;

        private static readonly int Cull = Shader.PropertyToID("_Cull");
        private static readonly int Id = Shader.PropertyToID("_MetasimId");
        private static readonly int WorldToCamera = Shader.PropertyToID("_MetasimWorldToCamera");

        private readonly CommandBuffer _commands = new CommandBuffer { name = "metasim" };
        private readonly Texture2D _read = new Texture2D(8, 8, TextureFormat.RGBAFloat, false, true);
        private readonly Material _material;
        private bool _upsideDown;

        /// <summary>Finds out how this machine draws.</summary>
        /// <exception cref="RequestException">It does not.</exception>
        public GroundTruth()
        {
            var shader = Resources.Load<Shader>(ShaderName);
            if (shader == null || !shader.isSupported
                || !SystemInfo.SupportsRenderTextureFormat(RenderTextureFormat.ARGBFloat))
            {
                throw Unable("its shader " + ShaderName + " or targets of floats are not supported");
            }

            _material = new Material(shader) { hideFlags = HideFlags.HideAndDontSave };
            Test();
        }

        /// <summary>Draws surfaces into a window of a view.</summary>
        /// <param name="pass">One of the constants.</param>
        public Drawing Draw(View view, PixelBox window, IEnumerable<Surface> surfaces, int pass)
        {
            return Draw(view, window, () =>
            {
                foreach (Surface surface in surfaces)
                {
                    _commands.SetGlobalFloat(Id, surface.Instance);
                    for (int part = 0; part < surface.Parts; part++)
                    {
                        _commands.DrawRenderer(surface.Renderer, _material, part, pass);
                    }
                }
            });
        }

        private Drawing Draw(View view, PixelBox window, Action things)
        {
            RenderTexture target = RenderTexture.GetTemporary(
                window.Width, window.Height, DepthBits, RenderTextureFormat.ARGBFloat,
                RenderTextureReadWrite.Linear, 1);
            try
            {
                _commands.Clear();
                _commands.SetRenderTarget(target);
                _commands.ClearRenderTarget(true, true, Color.clear);
                _commands.SetViewProjectionMatrices(view.Matrix, view.ProjectionOf(window));
                _commands.SetGlobalMatrix(WorldToCamera, view.WorldToCamera);
                things();
                Graphics.ExecuteCommandBuffer(_commands);
                return Read(target);
            }
            finally
            {
                RenderTexture.ReleaseTemporary(target);
            }
        }

        private Drawing Read(RenderTexture target)
        {
            if (_read.width != target.width || _read.height != target.height)
            {
                _read.Reinitialize(target.width, target.height);
            }

            RenderTexture before = RenderTexture.active;
            RenderTexture.active = target;
            _read.ReadPixels(new Rect(0, 0, target.width, target.height), 0, 0, false);
            RenderTexture.active = before;
            return new Drawing(_read.GetRawTextureData<Color>(), target.width, target.height, _upsideDown);
        }

        /// <summary>
        /// Draws what is known beforehand: a quad in the upper half, 2 m away, that faces the camera.
        /// Graphics interfaces differ in which way round they draw, and nothing may depend on it.
        /// </summary>
        private void Test()
        {
            const int Known = 0x1234, Side = 8;
            const float Away = 2;
            Mesh quad = Quad(Away);
            var view = new View(
                Matrix4x4.Scale(new Vector3(1, 1, -1)), Matrix4x4.Perspective(90, 1, 0.1f, 10), 0.1f, Side, Side);
            try
            {
                foreach (CullMode cull in new[] { CullMode.Back, CullMode.Front })
                {
                    _material.SetFloat(Cull, (float)cull);
                    Drawing drawn = Draw(view, view.Image, () =>
                    {
                        _commands.SetGlobalFloat(Id, Known);
                        _commands.DrawMesh(quad, Matrix4x4.identity, _material, 0, IdAndDepth);
                    });
                    Color low = drawn[Side / 2, 1], high = drawn[Side / 2, Side - 2];
                    Color there = high.r > 0 ? high : low, empty = high.r > 0 ? low : high;
                    if (there.r == Known && Mathf.Abs(there.g - Away) < 1e-3f && empty.r == 0 && empty.g == 0)
                    {
                        _upsideDown = high.r == 0;
                        return;
                    }
                }
            }
            finally
            {
                Object.DestroyImmediate(quad);
            }

            throw Unable("a test image came out wrong");
        }

        /// <summary>
        /// The upper half of what a camera at the origin sees; clockwise from there, as Unity's faces are.
        /// </summary>
        private static Mesh Quad(float away)
        {
            return new Mesh
            {
                vertices = new[]
                {
                    new Vector3(-9, 0, away), new Vector3(-9, 9, away),
                    new Vector3(9, 9, away), new Vector3(9, 0, away),
                },
                triangles = new[] { 0, 1, 2, 0, 2, 3 },
            };
        }

        private static RequestException Unable(string reason)
        {
            return new RequestException(
                ErrorCode.Size,
                "this player must be able to draw, but " + reason + " (" + SystemInfo.graphicsDeviceName
                + ", " + SystemInfo.graphicsDeviceType + "); never start it with -nographics: on a machine "
                + "without a screen start it under xvfb-run -a");
        }

        /// <summary>Frees what the graphics card holds.</summary>
        public void Dispose()
        {
            _commands.Release();
            Object.Destroy(_read);
            Object.Destroy(_material);
        }
    }
}
