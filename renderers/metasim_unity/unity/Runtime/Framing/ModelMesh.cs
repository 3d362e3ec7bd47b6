using System;

namespace Metasim.Framing
{
    /// <summary>The surface of a class, in its own frame (PROTOCOL.md, section 7).</summary>
    public sealed class ModelMesh
    {
        private const int Aligned = 8;

        /// <summary>The class.</summary>
        public string Category { get; }

        /// <summary>x, y and z of each corner, in metres: the front is towards x, z is up.</summary>
        public float[] Vertices { get; }

        /// <summary>Three places in the corners for each face, counter-clockwise from outside.</summary>
        public int[] Faces { get; }

        /// <summary>A model.</summary>
        public ModelMesh(string category, float[] vertices, int[] faces)
        {
            Category = category;
            Vertices = vertices;
            Faces = faces;
        }

        /// <summary>The frame of one model of an answer.</summary>
        public Frame ToFrame(uint request, int part, int parts)
        {
            int corners = Buffer.ByteLength(Vertices), start = (corners + Aligned - 1) / Aligned * Aligned;
            var planes = new byte[start + Buffer.ByteLength(Faces)];
            Buffer.BlockCopy(Vertices, 0, planes, 0, corners);
            Buffer.BlockCopy(Faces, 0, planes, start, planes.Length - start);
            JsonObject told = new JsonObject()
                .Add("category", JsonValue.Of(Category))
                .Add("vertices", JsonValue.Of((long)(Vertices.Length / 3)))
                .Add("faces", JsonValue.Of((long)(Faces.Length / 3)));
            return Answer(request, new[] { JsonValue.Of(told) }, planes, part, parts);
        }

        /// <summary>The answer of who has no models.</summary>
        public static Frame None(uint request)
        {
            return Answer(request, new JsonValue[0], null, 0, 1);
        }

        private static Frame Answer(uint request, JsonValue[] models, byte[] planes, int part, int parts)
        {
            JsonObject json = new JsonObject().Add("models", JsonValue.Of(models));
            return new Frame(FrameKind.Meshes, request, json, planes, (uint)part, (uint)parts);
        }
    }
}
