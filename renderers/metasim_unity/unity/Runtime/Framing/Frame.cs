using System;
using System.Text;

namespace Metasim.Framing
{
    /// <summary>One frame of metasim's protocol (PROTOCOL.md, section 2).</summary>
    public sealed class Frame
    {
        /// <summary>The version of the protocol.</summary>
        public const ushort Version = 1;

        /// <summary>Bytes before the JSON.</summary>
        public const int HeaderBytes = 28;

        private static readonly byte[] Magic = { (byte)'M', (byte)'S', (byte)'I', (byte)'M' };
        private static readonly byte[] Nothing = new byte[0];

        /// <summary>What it is.</summary>
        public FrameKind Kind { get; }

        /// <summary>The id of the request that it makes or answers.</summary>
        public uint Request { get; }

        /// <summary>Its place among the frames of an answer.</summary>
        public uint Part { get; }

        /// <summary>How many frames the answer has.</summary>
        public uint Parts { get; }

        /// <summary>Its JSON.</summary>
        public JsonObject Json { get; }

        /// <summary>Its binary part.</summary>
        public byte[] Planes { get; }

        /// <summary>A frame to be sent.</summary>
        public Frame(
            FrameKind kind,
            uint request,
            JsonObject json,
            byte[] planes = null,
            uint part = 0,
            uint parts = 1)
        {
            if (part >= parts)
            {
                throw new ArgumentException("a frame's part must be below its parts");
            }

            Kind = kind;
            Request = request;
            Json = json;
            Planes = planes ?? Nothing;
            Part = part;
            Parts = parts;
        }

        /// <summary>The frame that some bytes are.</summary>
        /// <param name="data">Nothing is allocated for a length that they claim but do not have.</param>
        /// <param name="longestJson">How many bytes the JSON may have.</param>
        /// <exception cref="FrameException">They are no frame of this version.</exception>
        public static Frame Read(byte[] data, int longestJson)
        {
            if (data.Length < HeaderBytes)
            {
                throw new FrameException(
                    "a frame must have " + HeaderBytes + " bytes or more, got " + data.Length);
            }

            for (int place = 0; place < Magic.Length; place++)
            {
                if (data[place] != Magic[place])
                {
                    throw new FrameException("a frame must begin with MSIM");
                }
            }

            uint version = UInt16(data, 4);
            if (version != Version)
            {
                throw new FrameException("a frame must be of version " + Version + ", got " + version);
            }

            return ReadVersion1(data, longestJson);
        }

        private static Frame ReadVersion1(byte[] data, int longestJson)
        {
            uint kind = UInt16(data, 6);
            uint request = UInt32(data, 8), part = UInt32(data, 12), parts = UInt32(data, 16);
            uint json = UInt32(data, 20), planes = UInt32(data, 24);
            if (kind < (uint)FrameKind.Configure || kind > (uint)FrameKind.Meshes)
            {
                throw new FrameException("a frame must be of the kinds 1 to 7, got " + kind, request);
            }

            long length = (long)HeaderBytes + json + planes;
            if (data.Length != length)
            {
                throw new FrameException(
                    "a frame of " + json + " bytes of JSON and " + planes + " of planes must have "
                    + length + " bytes, got " + data.Length,
                    request);
            }

            if (part >= parts)
            {
                throw new FrameException(
                    "a frame's part must be below " + parts + ", its parts, got " + part, request);
            }

            if (json > longestJson)
            {
                throw new FrameException(
                    "a frame's JSON must have at most " + longestJson + " bytes, got " + json, request);
            }

            JsonObject values = ReadJson(data, (int)json, request);
            byte[] rest = planes == 0 ? Nothing : new byte[planes];
            Buffer.BlockCopy(data, HeaderBytes + (int)json, rest, 0, rest.Length);
            return new Frame((FrameKind)kind, request, values, rest, part, parts);
        }

        private static JsonObject ReadJson(byte[] data, int length, uint request)
        {
            try
            {
                string text = new UTF8Encoding(false, true).GetString(data, HeaderBytes, length);
                JsonValue value = new JsonReader(text).Read();
                if (value.Kind != JsonKind.Object)
                {
                    throw new FrameException("it must be an object");
                }

                return value.Members;
            }
            catch (DecoderFallbackException)
            {
                throw new FrameException("a frame's JSON must be valid UTF-8", request);
            }
            catch (FrameException error)
            {
                throw new FrameException("a frame's JSON must be valid, but " + error.Message, request);
            }
        }

        /// <summary>The frame as it is sent.</summary>
        public byte[] ToBytes()
        {
            byte[] json = Encoding.UTF8.GetBytes(JsonWriter.Write(Json));
            var data = new byte[checked(HeaderBytes + json.Length + Planes.Length)];
            Buffer.BlockCopy(Magic, 0, data, 0, Magic.Length);
            Put16(data, 4, Version);
            Put16(data, 6, (ushort)Kind);
            Put32(data, 8, Request);
            Put32(data, 12, Part);
            Put32(data, 16, Parts);
            Put32(data, 20, (uint)json.Length);
            Put32(data, 24, (uint)Planes.Length);
            Buffer.BlockCopy(json, 0, data, HeaderBytes, json.Length);
            Buffer.BlockCopy(Planes, 0, data, HeaderBytes + json.Length, Planes.Length);
            return data;
        }

        private static uint UInt16(byte[] data, int at)
        {
            return (uint)(data[at] | data[at + 1] << 8);
        }

        private static uint UInt32(byte[] data, int at)
        {
            return UInt16(data, at) | UInt16(data, at + 2) << 16;
        }

        private static void Put16(byte[] data, int at, uint value)
        {
            data[at] = (byte)value;
            data[at + 1] = (byte)(value >> 8);
        }

        private static void Put32(byte[] data, int at, uint value)
        {
            Put16(data, at, value & 0xffff);
            Put16(data, at + 2, value >> 16);
        }
    }
}
