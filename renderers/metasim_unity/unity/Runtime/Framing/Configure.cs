using System.Collections.Generic;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>CONFIGURE: what is wanted (PROTOCOL.md, section 3).</summary>
    public sealed class Configure
    {
        private const int LargestSide = 8192;

        /// <summary>Of the images, in pixels.</summary>
        public int Height { get; }

        /// <summary>Of the images, in pixels.</summary>
        public int Width { get; }

        /// <summary>Names of the planes.</summary>
        public IReadOnlyList<string> Planes { get; }

        private Configure(int height, int width, IReadOnlyList<string> planes)
        {
            Height = height;
            Width = width;
            Planes = planes;
        }

        /// <summary>What a frame's JSON says.</summary>
        /// <exception cref="RequestException">It is malformed, or has no version in common.</exception>
        public static Configure Read(JsonObject json)
        {
            IReadOnlyList<JsonValue> versions = json.Need("protocols").AsList("protocols");
            if (!versions.Any(version => version.AsNumber("protocols") == Frame.Version))
            {
                throw new RequestException(
                    ErrorCode.Protocol,
                    "this player speaks version " + Frame.Version + " of the protocol, which protocols "
                    + "must hold; bring metasim and its Unity package to the same version");
            }

            IReadOnlyList<JsonValue> size = json.Need("image_size").AsList("image_size");
            if (size.Count != 2)
            {
                throw new RequestException(ErrorCode.Protocol, "image_size must be [height, width]");
            }

            return new Configure(
                (int)size[0].AsWhole("height", 1, LargestSide),
                (int)size[1].AsWhole("width", 1, LargestSide),
                json.Need("planes").AsList("planes").Select(name => name.AsText("planes")).ToList());
        }
    }
}
