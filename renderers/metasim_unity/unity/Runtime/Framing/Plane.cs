using System;

namespace Metasim.Framing
{
    /// <summary>A plane of images, as it is sent (PROTOCOL.md, section 5).</summary>
    public sealed class Plane
    {
        /// <summary>RGB, sRGB.</summary>
        public static readonly Plane Images = new Plane("images", "u8", 3);

        /// <summary>Ids of instances, 0 where there is none.</summary>
        public static readonly Plane Instances = new Plane("instances", "u16", 2);

        /// <summary>Distances along the camera's axis in metres, 0 where there is no surface.</summary>
        public static readonly Plane Depth = new Plane("depth", "f32", 4);

        /// <summary>Normals in the camera's frame, 0 where there is no surface.</summary>
        public static readonly Plane Normals = new Plane("normals", "f32", 12);

        private static readonly Plane[] All = { Images, Instances, Depth, Normals };

        /// <summary>Its name.</summary>
        public string Name { get; }

        /// <summary>The type of its numbers.</summary>
        public string Type { get; }

        /// <summary>Bytes of a pixel.</summary>
        public int PixelBytes { get; }

        private Plane(string name, string type, int pixelBytes)
        {
            Name = name;
            Type = type;
            PixelBytes = pixelBytes;
        }

        /// <summary>The plane of a name, or null.</summary>
        public static Plane Named(string name)
        {
            return Array.Find(All, plane => plane.Name == name);
        }
    }
}
