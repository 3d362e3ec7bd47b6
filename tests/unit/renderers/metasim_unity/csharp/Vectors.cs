using System;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using Metasim.Framing;

/// <summary>Reads the test vectors: what is valid gives the fields that are told, all else is refused.</summary>
internal static class Vectors
{
    private const int LongestJson = 4000000;

    /// <summary>Checks a folder of vectors, and writes what is valid of it again into another.</summary>
    public static void Check(string folder, string written)
    {
        foreach (JsonValue value in Program.ReadJson(Path.Combine(folder, "index.json")).Items)
        {
            string file = value.Members["file"].Text;
            byte[] data = File.ReadAllBytes(Path.Combine(folder, file));
            try
            {
                if (value.Members.TryGet("frame", out JsonValue told))
                {
                    Frame frame = Frame.Read(data, LongestJson);
                    Compare(told.Members, frame);
                    ReadMessage(frame);
                    Damage(data);
                    File.WriteAllBytes(Path.Combine(written, file), frame.ToBytes());
                }
                else
                {
                    Refuse(data);
                }
            }
            catch (Exception error)
            {
                throw new InvalidDataException(file + ": " + error.Message, error);
            }
        }
    }

    private static void Compare(JsonObject told, Frame frame)
    {
        Same("kind", told["kind"].AsWhole("kind", 1, 7), (long)frame.Kind);
        Same("request", told["request"].AsWhole("request", 0, uint.MaxValue), frame.Request);
        Same("part", told["part"].AsWhole("part", 0, uint.MaxValue), frame.Part);
        Same("parts", told["parts"].AsWhole("parts", 1, uint.MaxValue), frame.Parts);
        if (!Alike(told["json"], JsonValue.Of(frame.Json)))
        {
            throw new InvalidDataException("json is " + JsonWriter.Write(frame.Json));
        }

        JsonValue planes = told["planes"];
        if (planes.Kind == JsonKind.Text)
        {
            Same("planes", planes.Text, Hex(frame.Planes));
            return;
        }

        Same("bytes", planes.Members["bytes"].AsWhole("bytes", 0, int.MaxValue), frame.Planes.Length);
        using (SHA256 digest = SHA256.Create())
        {
            Same("sha256", planes.Members["sha256"].Text, Hex(digest.ComputeHash(frame.Planes)));
        }
    }

    private static void Same<T>(string what, T told, T got)
    {
        if (!told.Equals(got))
        {
            throw new InvalidDataException(what + " must be " + told + ", got " + got);
        }
    }

    private static bool Alike(JsonValue one, JsonValue other)
    {
        if (one.Kind != other.Kind)
        {
            return false;
        }

        switch (one.Kind)
        {
            case JsonKind.List:
                return one.Items.Count == other.Items.Count
                    && one.Items.Zip(other.Items, Alike).All(alike => alike);
            case JsonKind.Object:
                return one.Members.Keys.Count == other.Members.Keys.Count
                    && one.Members.Keys.All(key => other.Members.TryGet(key, out JsonValue value)
                        && Alike(one.Members[key], value));
            case JsonKind.Number:
                return one.Text == other.Text || one.AsNumber("one") == other.AsNumber("other");
            default:
                return one.Text == other.Text;
        }
    }

    private static string Hex(byte[] data)
    {
        return string.Concat(data.Select(one => one.ToString("x2")));
    }

    private static void ReadMessage(Frame frame)
    {
        switch (frame.Kind)
        {
            case FrameKind.Configure:
                Configure.Read(frame.Json);
                break;
            case FrameKind.Render:
                RenderRequest.Read(frame.Json);
                break;
        }
    }

    private static void Refuse(byte[] data)
    {
        try
        {
            Frame.Read(data, LongestJson);
        }
        catch (FrameException)
        {
            return;
        }

        throw new InvalidDataException("must be refused");
    }

    /// <summary>Whatever becomes of a frame's bytes, nothing else is thrown than what is documented.</summary>
    private static void Damage(byte[] data)
    {
        for (int place = 0; place < data.Length; place++)
        {
            Refuse(data.Take(place).ToArray());
            foreach (byte bits in new byte[] { 1, 0x20, 0x80, 0xff })
            {
                var other = (byte[])data.Clone();
                other[place] ^= bits;
                try
                {
                    ReadMessage(Frame.Read(other, LongestJson));
                }
                catch (FrameException)
                {
                }
                catch (RequestException)
                {
                }
            }
        }
    }
}
