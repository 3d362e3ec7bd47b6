// What metasim's Unity package uses of Unity's drawing, with its signatures. Its command buffers draw
// (Raster.cs) what the package's shader would.
using System;
using System.Collections.Generic;
using System.Linq;

namespace UnityEngine
{
    public class Texture : Object
    {
        public virtual int width { get; set; }
        public virtual int height { get; set; }
    }

    public enum RenderTextureFormat
    {
        ARGB32 = 0,
        ARGBFloat = 11,
    }

    public enum RenderTextureReadWrite
    {
        Default = 0,
        Linear = 1,
        sRGB = 2,
    }

    public class RenderTexture : Texture
    {
        public RenderTexture(
            int width, int height, int depth, RenderTextureFormat format, RenderTextureReadWrite readWrite)
        {
            this.width = width;
            this.height = height;
            Pixels = new Color[width * height];
        }

        /// <summary>Rows from bottom to top.</summary>
        internal Color[] Pixels { get; }

        public static RenderTexture active { get; set; }
        public int antiAliasing { get; set; }

        public static RenderTexture GetTemporary(
            int width,
            int height,
            int depthBuffer,
            RenderTextureFormat format,
            RenderTextureReadWrite readWrite,
            int antiAliasing)
        {
            return new RenderTexture(width, height, depthBuffer, format, readWrite);
        }

        public static void ReleaseTemporary(RenderTexture temp)
        {
        }

        public void Release()
        {
        }
    }

    public enum TextureFormat
    {
        RGB24 = 3,
        RGBAFloat = 20,
    }

    public sealed class Texture2D : Texture
    {
        private Color[] _pixels;

        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain, bool linear)
        {
            Reinitialize(width, height);
        }

        public bool Reinitialize(int width, int height)
        {
            this.width = width;
            this.height = height;
            _pixels = new Color[width * height];
            return true;
        }

        public void ReadPixels(Rect source, int destX, int destY, bool recalculateMipMaps)
        {
            RenderTexture.active.Pixels.CopyTo(_pixels, 0);
        }

        public byte[] GetRawTextureData()
        {
            return _pixels.SelectMany(pixel => new[] { (byte)pixel.r, (byte)pixel.g, (byte)pixel.b }).ToArray();
        }

        public Unity.Collections.NativeArray<T> GetRawTextureData<T>()
            where T : struct
        {
            return new Unity.Collections.NativeArray<T>(_pixels as T[]);
        }
    }

    public class Graphics
    {
        public static void ExecuteCommandBuffer(Rendering.CommandBuffer buffer)
        {
            buffer.Commands.ForEach(command => command());
        }
    }

    public sealed class SystemInfo
    {
        public static int maxTextureSize => 16384;
        public static string graphicsDeviceName => "none";
        public static Rendering.GraphicsDeviceType graphicsDeviceType => Rendering.GraphicsDeviceType.Null;

        public static bool SupportsRenderTextureFormat(RenderTextureFormat format)
        {
            return true;
        }
    }
}

namespace UnityEngine.Rendering
{
    public enum AmbientMode
    {
        Skybox = 0,
        Flat = 3,
    }

    public enum ShadowCastingMode
    {
        Off,
        On,
        TwoSided,
        ShadowsOnly,
    }

    public enum CullMode
    {
        Off,
        Front,
        Back,
    }

    public enum GraphicsDeviceType
    {
        Null = 4,
    }

    public abstract class RenderPipelineAsset : Object
    {
    }

    public sealed class GraphicsSettings : Object
    {
        public static RenderPipelineAsset currentRenderPipeline => null;
    }

    public struct RenderTargetIdentifier
    {
        internal Texture Texture;

        public static implicit operator RenderTargetIdentifier(Texture tex)
        {
            return new RenderTargetIdentifier { Texture = tex };
        }
    }

    public class CommandBuffer : IDisposable
    {
        internal readonly List<Action> Commands = new List<Action>();
        private readonly Raster _raster = new Raster();

        public string name { get; set; }

        public void Clear()
        {
            Commands.Clear();
        }

        public void SetRenderTarget(RenderTargetIdentifier rt)
        {
            Commands.Add(() => _raster.Target = (RenderTexture)rt.Texture);
        }

        public void ClearRenderTarget(bool clearDepth, bool clearColor, Color backgroundColor)
        {
            Commands.Add(() => _raster.Clear(backgroundColor));
        }

        public void SetViewProjectionMatrices(Matrix4x4 view, Matrix4x4 proj)
        {
            Commands.Add(() => _raster.ToClip = proj * view);
        }

        public void SetGlobalFloat(int nameID, float value)
        {
            Commands.Add(() => _raster.Id = value);
        }

        public void SetGlobalMatrix(int nameID, Matrix4x4 value)
        {
            Commands.Add(() => _raster.ToCamera = value);
        }

        public void DrawRenderer(Renderer renderer, Material material, int submeshIndex, int shaderPass)
        {
            DrawMesh(
                renderer.GetComponent<MeshFilter>().sharedMesh, renderer.transform.localToWorldMatrix,
                material, submeshIndex, shaderPass);
        }

        public void DrawMesh(Mesh mesh, Matrix4x4 matrix, Material material, int submeshIndex, int shaderPass)
        {
            bool back = material.Floats[Shader.PropertyToID("_Cull")] == (float)CullMode.Back;
            Commands.Add(() => _raster.Draw(mesh, matrix, back, shaderPass));
        }

        public void Release()
        {
        }

        public void Dispose()
        {
        }
    }
}

namespace Unity.Collections
{
    public struct NativeArray<T>
        where T : struct
    {
        private readonly T[] _items;

        internal NativeArray(T[] items)
        {
            _items = items;
        }

        public T this[int index] => _items[index];
    }
}
