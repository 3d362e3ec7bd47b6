using System.Collections.Generic;

namespace Metasim.Framing
{
    /// <summary>HELLO: what the player is (PROTOCOL.md, section 3).</summary>
    public sealed class Hello
    {
        /// <summary>The longest request that a player takes.</summary>
        public const int RequestBytes = 4000000;

        private const int LongestName = 200;

        /// <summary>Name and version, for messages.</summary>
        public string Player { get; set; }

        /// <summary>Of the images that will come, in pixels.</summary>
        public int Height { get; set; }

        /// <summary>Of the images that will come, in pixels.</summary>
        public int Width { get; set; }

        /// <summary>The planes that will come, in order.</summary>
        public IReadOnlyList<string> Planes { get; set; }

        /// <summary>Kind to the attributes that are understood, in order.</summary>
        public IReadOnlyList<KeyValuePair<string, IReadOnlyList<string>>> Kinds { get; set; }

        /// <summary>Kind to the classes that it can have, in order.</summary>
        public IReadOnlyList<KeyValuePair<string, IReadOnlyList<string>>> Categories { get; set; }

        /// <summary>The frame that answers CONFIGURE; images have cameras, and rows from bottom to top.</summary>
        public Frame ToFrame(uint request)
        {
            string player = Player.Length > LongestName ? Player.Substring(0, LongestName) : Player;
            JsonObject json = new JsonObject()
                .Add("protocol", JsonValue.Of((long)Frame.Version))
                .Add("player", JsonValue.Of(player))
                .Add("image_size", JsonValue.Of(new[] { JsonValue.Of((long)Height), JsonValue.Of((long)Width) }))
                .Add("planes", JsonValue.Of(Planes))
                .Add("cameras", JsonValue.True)
                .Add("rows", JsonValue.Of("bottom-up"))
                .Add("kinds", Names(Kinds))
                .Add("categories", Names(Categories))
                .Add("models", JsonValue.True)
                .Add("request_bytes", JsonValue.Of((long)RequestBytes));
            return new Frame(FrameKind.Hello, request, json);
        }

        private static JsonValue Names(IEnumerable<KeyValuePair<string, IReadOnlyList<string>>> lists)
        {
            var found = new JsonObject();
            foreach (KeyValuePair<string, IReadOnlyList<string>> pair in lists)
            {
                found.Add(pair.Key, JsonValue.Of(pair.Value));
            }

            return JsonValue.Of(found);
        }
    }
}
