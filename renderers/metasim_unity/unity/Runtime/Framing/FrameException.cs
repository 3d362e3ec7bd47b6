using System;

namespace Metasim.Framing
{
    /// <summary>Bytes that are not a frame of this version; the message tells what must hold.</summary>
    public sealed class FrameException : Exception
    {
        /// <summary>The id of the request, or 0 where it cannot be read.</summary>
        public uint Request { get; }

        /// <summary>An error about a frame whose id is known, or about any other.</summary>
        public FrameException(string message, uint request = 0)
            : base(message)
        {
            Request = request;
        }
    }
}
