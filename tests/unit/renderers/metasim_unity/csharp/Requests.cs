using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using Metasim;
using Metasim.Framing;
using Unity.MLAgents;
using UnityEngine;

/// <summary>Asks the sample's bridge as Python does, and lets Unity's frames pass.</summary>
internal static class Requests
{
    private const int MostFrames = 1000;

    /// <summary>Asks with the files of a folder, in order of their names, and writes the answers.</summary>
    public static void Answer(string folder, string answers)
    {
        var asked = new Queue<string>(Directory.GetFiles(folder).OrderBy(name => name, StringComparer.Ordinal));
        string current = null;
        int parts = 0;
        bool whole = true;
        MetasimBridge bridge = Scenes.Sample();
        Academy.Python = sent =>
        {
            foreach (byte[] frame in sent)
            {
                string name = Path.GetFileNameWithoutExtension(current) + "-" + parts++ + ".bin";
                File.WriteAllBytes(Path.Combine(answers, name), frame);
                whole = Last(Frame.Read(frame, int.MaxValue));
            }

            if (!whole || asked.Count == 0)
            {
                return null;
            }

            current = asked.Dequeue();
            parts = 0;
            whole = false;
            return File.ReadAllBytes(current);
        };
        Call(bridge, "Awake");
        var frames = (IEnumerator)Call(bridge, "Start");
        for (int frame = 0; (asked.Count > 0 || !whole) && frame < MostFrames && frames.MoveNext(); frame++)
        {
            Stub.EndFrame();
        }

        Call(bridge, "OnDestroy");
    }

    private static bool Last(Frame frame)
    {
        return frame.Kind == FrameKind.Error || frame.Part + 1 == frame.Parts;
    }

    /// <summary>Calls what Unity would.</summary>
    private static object Call(MetasimBridge bridge, string method)
    {
        return typeof(MetasimBridge).GetMethod(method, BindingFlags.Instance | BindingFlags.NonPublic)
            .Invoke(bridge, null);
    }
}
