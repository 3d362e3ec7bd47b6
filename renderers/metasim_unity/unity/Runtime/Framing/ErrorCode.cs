namespace Metasim.Framing
{
    /// <summary>What an ERROR is about (PROTOCOL.md, section 6).</summary>
    public static class ErrorCode
    {
        /// <summary>No version in common, or a frame that is malformed.</summary>
        public const string Protocol = "protocol";

        /// <summary>Images of that size or sort cannot be made.</summary>
        public const string Size = "size";

        /// <summary>The scene cannot be built.</summary>
        public const string Scene = "scene";

        /// <summary>The request is too large.</summary>
        public const string Limit = "limit";

        /// <summary>Anything else.</summary>
        public const string Failed = "failed";
    }
}
