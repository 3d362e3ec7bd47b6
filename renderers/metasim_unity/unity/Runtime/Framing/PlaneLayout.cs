using System.Collections.Generic;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>Where planes lie in a frame: one after the other, each at a multiple of 8.</summary>
    public sealed class PlaneLayout
    {
        private const long Aligned = 8;

        /// <summary>The planes, in order.</summary>
        public IReadOnlyList<Plane> Planes { get; }

        /// <summary>Where each begins.</summary>
        public IReadOnlyList<long> Offsets { get; }

        /// <summary>Where the last ends.</summary>
        public long Bytes { get; }

        /// <summary>The layout of planes of so many images.</summary>
        public PlaneLayout(IReadOnlyList<Plane> planes, int count, int height, int width)
        {
            var offsets = new List<long>();
            long end = 0;
            foreach (Plane plane in planes)
            {
                long start = (end + Aligned - 1) / Aligned * Aligned;
                offsets.Add(start);
                end = start + (long)count * height * width * plane.PixelBytes;
            }

            Planes = planes;
            Offsets = offsets;
            Bytes = end;
        }

        /// <summary>Where a plane begins, or -1 where it is not sent.</summary>
        public long OffsetOf(Plane plane)
        {
            for (int place = 0; place < Planes.Count; place++)
            {
                if (Planes[place] == plane)
                {
                    return Offsets[place];
                }
            }

            return -1;
        }

        /// <summary>As IMAGES tells it.</summary>
        public JsonValue ToJson()
        {
            return JsonValue.Of(Planes.Select((plane, place) => JsonValue.Of(
                new JsonObject()
                    .Add("name", JsonValue.Of(plane.Name))
                    .Add("type", JsonValue.Of(plane.Type))
                    .Add("offset", JsonValue.Of(Offsets[place])))));
        }
    }
}
