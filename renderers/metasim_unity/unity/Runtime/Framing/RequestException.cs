using System;

namespace Metasim.Framing
{
    /// <summary>A request that cannot be answered; the message is for whoever sent it.</summary>
    public sealed class RequestException : Exception
    {
        /// <summary>One of <see cref="ErrorCode"/>.</summary>
        public string Code { get; }

        /// <summary>An error of that code.</summary>
        public RequestException(string code, string message)
            : base(message)
        {
            Code = code;
        }
    }
}
