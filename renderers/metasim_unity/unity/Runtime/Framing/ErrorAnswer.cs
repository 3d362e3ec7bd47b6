namespace Metasim.Framing
{
    /// <summary>ERROR (PROTOCOL.md, section 6).</summary>
    public static class ErrorAnswer
    {
        private const int Longest = 2000;

        /// <summary>The frame that tells what went wrong.</summary>
        /// <param name="request">The id of the request, or 0.</param>
        /// <param name="code">One of <see cref="ErrorCode"/>.</param>
        /// <param name="message">Cut where it is too long.</param>
        /// <param name="scene">The place of the scene in the request, where it is about one.</param>
        public static Frame ToFrame(uint request, string code, string message, int? scene = null)
        {
            var json = new JsonObject()
                .Add("code", JsonValue.Of(code))
                .Add("message", JsonValue.Of(Cut(message)));
            if (scene.HasValue)
            {
                json.Add("scene", JsonValue.Of((long)scene.Value));
            }

            return new Frame(FrameKind.Error, request, json);
        }

        private static string Cut(string message)
        {
            if (message.Length <= Longest)
            {
                return message;
            }

            // Half a pair of surrogates is no letter.
            int end = char.IsHighSurrogate(message[Longest - 1]) ? Longest - 1 : Longest;
            return message.Substring(0, end);
        }
    }
}
