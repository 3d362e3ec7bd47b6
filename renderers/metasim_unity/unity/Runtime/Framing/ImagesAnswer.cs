using System.Collections.Generic;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>IMAGES: one image with its labels (PROTOCOL.md, section 5).</summary>
    /// <remarks>An answer has a frame for each scene, so that no message grows with the batch.</remarks>
    public sealed class ImagesAnswer
    {
        /// <summary>Where the planes lie.</summary>
        public PlaneLayout Layout { get; set; }

        /// <summary>The planes' bytes.</summary>
        public byte[] Planes { get; set; }

        /// <summary>A label for each instance.</summary>
        public IReadOnlyList<Label> Labels { get; set; }

        /// <summary>What it was seen with.</summary>
        public Pinhole Camera { get; set; }

        /// <summary>The time that it took.</summary>
        public double Seconds { get; set; }

        /// <summary>The frame of a scene of a request.</summary>
        /// <param name="request">The request's id.</param>
        /// <param name="scene">The place of the scene in it.</param>
        /// <param name="scenes">How many it has.</param>
        public Frame ToFrame(uint request, int scene, int scenes)
        {
            JsonObject json = new JsonObject()
                .Add("first", JsonValue.Of((long)scene))
                .Add("count", JsonValue.Of(1L))
                .Add("planes", Layout.ToJson())
                .Add("labels", JsonValue.Of(new[] { JsonValue.Of(Labels.Select(label => label.ToJson())) }))
                .Add("cameras", JsonValue.Of(new[] { Camera.ToJson() }))
                .Add("seconds", JsonValue.Of(Seconds));
            return new Frame(FrameKind.Images, request, json, Planes, (uint)scene, (uint)scenes);
        }
    }
}
