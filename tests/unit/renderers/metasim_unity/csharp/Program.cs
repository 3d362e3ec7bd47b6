// Runs metasim's Unity package without Unity, for test_csharp.py.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using Metasim.Framing;
using UnityEngine;

internal static class Program
{
    private static readonly Dictionary<string, Action<string[]>> Modes = new Dictionary<string, Action<string[]>>
    {
        { "vectors", arguments => Vectors.Check(arguments[1], arguments[2]) },
        { "frames", arguments => Frames.Write(arguments[1]) },
        { "geometry", arguments => Geometry.Tell(arguments[1], arguments[2]) },
        { "scenes", arguments => Scenes.Build(arguments[1], arguments[2]) },
        { "answers", arguments => Requests.Answer(arguments[1], arguments[2]) },
    };

    private static int Main(string[] arguments)
    {
        CultureInfo.CurrentCulture = new CultureInfo("de-DE"); // whose numbers JSON would not understand
        Stub.Draws = Array.IndexOf(arguments, "blind") < 0;
        Stub.UpsideDown = Array.IndexOf(arguments, "upside-down") >= 0;
        try
        {
            Modes[arguments[0]](arguments);
            return 0;
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error);
            return 1;
        }
    }

    public static JsonValue ReadJson(string file)
    {
        const int Deepest = 64; // the list of the vectors holds one that is as deep as may be
        return new JsonReader(File.ReadAllText(file), Deepest).Read();
    }
}
